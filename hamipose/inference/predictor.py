"""A model ready to use, and what it finds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hamipose.errors import UserError
from hamipose.evaluation.prediction_writer import region_px
from hamipose.geometry.affine import apply_points, crop_box, crop_matrix, invert, upright_box
from hamipose.geometry.crops import keypoint_box, padded_box, warp_crop, whole_image_box
from hamipose.heatmaps import decode
from hamipose.io.image_file import read_image
from hamipose.io.yaml_file import read_yaml
from hamipose.models.checkpoint import evaluated, model_info, read_checkpoint
from hamipose.models.model_io import ModelInfo, open_folder
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import PersonNetwork, Start
from hamipose.models.pretrained.loading import open_default, open_pretrained, with_skeleton
from hamipose.models.to_device import moved
from hamipose.skeletons import HAND21, Skeleton
from hamipose.types import UnlabeledSample

__all__ = ["Prediction", "Predictor", "load"]


@dataclass(frozen=True)
class Prediction:
    """One person found in one picture.

    Attributes:
        keypoints_px: in pixels of the picture; the center of its first pixel is (0, 0).
        confidence: height of each keypoint's heatmap at its peak; near 1 where the network is sure.
        region_px: left, top, width and height of what the network was shown.
        name: where the picture comes from.
        heatmaps: as the network gave them, for its crop; None unless asked for.
        size_px: width and height of the picture.
    """

    keypoints_px: Float[np.ndarray, "keypoint 2"]
    confidence: Float[np.ndarray, " keypoint"]
    region_px: Float[np.ndarray, "4"]
    name: str
    heatmaps: Float[np.ndarray, "keypoint h w"] | None = None
    size_px: tuple[int, int] | None = None


#: Smallest side of a crop that another pass may ask for, in pixels, and its largest as a multiple of the picture's.
_LEAST_PX, _MOST_SIDES = 8, 4

#: A closer crop is this many times the box about the keypoints, of those that are this sure; at least half must be.
_CLOSER, _SURE = 1.4, 0.1


def _crops(
    batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"], size: int
) -> UInt8[Tensor, "batch 3 size size"]:
    crops = np.stack([warp_crop(s.image, m, size) for s, m in zip(batch, matrices, strict=True)])
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))


class Predictor:
    """A network with what it takes to use it on pictures of any size.

    Args:
        network: normalized images → heatmaps, as its method evaluates them.
        info: its kind.
        device: torch's name of a device; the first GPU if there is one where not given.
        passes: how often to look at a person. From the second time on the crop follows from what was found in the last
            one: alignment points, for networks that have them, else keypoints. The network's own number if None.

    Raises:
        UserError: there is no such device, `passes` is below 1, or the network is pretrained and takes no crops of
            that size.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, device: str | None = None, passes: int | None = None):
        self.info = info
        self.network = network
        self.device = moved(network, device)
        if isinstance(network, PersonNetwork) and info.image_size != network.image_size:
            raise UserError(
                f"image_size is {info.image_size}; {info.backbone} takes crops of {network.image_size} px alone"
            )
        own = network.passes if isinstance(network, PersonNetwork) else 1
        self.passes = own if passes is None else passes
        if self.passes < 1:
            raise UserError(f"passes is {passes}, expected at least 1")

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints' order."""
        return self.network.skeleton if isinstance(self.network, PersonNetwork) else self.info.keypoints

    @property
    def upright(self) -> bool:
        """Whether the network expects people upright in its crops, which then are turned."""
        return isinstance(self.network, PersonNetwork) and self.network.passes > 1

    @property
    def finds_people(self) -> bool:
        """Whether its keypoints are those of a person, so that a person detector finds what it should look at."""
        return self.skeleton != HAND21

    @torch.inference_mode()
    def heatmaps(self, crops: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch keypoint h w"]:
        """Of square crops."""
        return self.network(normalize(crops.to(self.device))).float()

    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the crops, and confidences: the inverse of how the targets were encoded."""
        if isinstance(self.network, PersonNetwork):
            return self.network.decode(heatmaps)
        return decode(heatmaps, quantize=self.info.quantized)

    @torch.inference_mode()
    def _look(
        self, crops: UInt8[Tensor, "batch 3 size size"]
    ) -> tuple[
        Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"], Float[Tensor, "batch keypoint h w"] | None
    ]:
        """Keypoints in pixels of the crops, confidences, and the heatmaps that they come from; None without such."""
        if isinstance(self.network, PersonNetwork) and not self.network.has_heatmaps:
            points, confidence = self.network.locate(normalize(crops.to(self.device)))
            return points.cpu(), confidence.cpu(), None
        maps = self.heatmaps(crops).cpu()
        return *self.decode(maps), maps

    def stream(
        self, samples: Iterable[UnlabeledSample], *, batch_size: int = 16, heatmaps: bool = False
    ) -> Iterator[Prediction]:
        """What is found in each sample, in their order, a batch at a time: nothing else is kept in memory.

        Args:
            samples: pictures with boxes.
            batch_size: pictures that pass through the network together.
            heatmaps: keep them in what is found.
        """
        if heatmaps and isinstance(self.network, PersonNetwork) and not self.network.has_heatmaps:
            raise UserError(f"heatmaps are asked for; {self.info.backbone} gives keypoints alone")
        size = self.info.image_size
        rest = iter(samples)
        while batch := list(islice(rest, batch_size)):
            matrices = np.stack([self._crop(sample.box_px, sample.rotation_deg) for sample in batch])
            for _ in range(self.passes - 1):
                matrices = self._closer(batch, matrices)
            points, confidence, maps = self._look(_crops(batch, matrices, size))
            original_from_crop = invert(torch.from_numpy(matrices.astype(np.float32)))
            points_px = apply_points(original_from_crop, points).numpy()
            regions = region_px(original_from_crop, size).numpy()
            for i, sample in enumerate(batch):
                kept = maps[i].numpy() if heatmaps and maps is not None else None
                height, width = sample.image.shape[:2]
                yield Prediction(points_px[i], confidence[i].numpy(), regions[i], sample.name, kept, (width, height))

    def _crop(self, box: Float[np.ndarray, "4"], rotation_deg: float = 0.0) -> Float[np.ndarray, "2 3"]:
        """The crop of a person: a square in whose middle, as wide as the network sees, the box is."""
        if isinstance(self.network, PersonNetwork) and self.network.aspect < 1:
            side = max(float(box[3]), float(box[2]) / self.network.aspect)
            left, top = box[:2] + (box[2:] - side) / 2
            box = np.array([left, top, side, side], np.float32)
        return crop_matrix(box, self.info.image_size, rotation_deg)

    def aligned(self, samples: Iterable[UnlabeledSample], *, batch_size: int = 16) -> Iterator[UnlabeledSample]:
        """Give samples the box and the turn of the crop that their keypoints are read from, after all passes.

        Args:
            samples: pictures with boxes.
            batch_size: pictures that pass through the network together.
        """
        size, rest = self.info.image_size, iter(samples)
        while batch := list(islice(rest, batch_size)):
            matrices = np.stack([self._crop(sample.box_px, sample.rotation_deg) for sample in batch])
            for _ in range(self.passes - 1):
                matrices = self._closer(batch, matrices)
            for sample, matrix in zip(batch, matrices, strict=True):
                box, turn_deg = crop_box(matrix, size)
                yield replace(sample, box_px=box, rotation_deg=turn_deg)

    @torch.inference_mode()
    def _closer(
        self, batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"]
    ) -> Float[np.ndarray, "batch 2 3"]:
        """The crops that follow from a pass; the same as before if what it found makes no sense."""
        crops, back = _crops(batch, matrices, self.info.image_size), invert(matrices)
        boxes: list[tuple[Float[np.ndarray, "4"], float] | None] = []
        if isinstance(self.network, PersonNetwork) and self.upright:
            pairs = self.network.alignment(normalize(crops.to(self.device))).cpu().numpy().astype(float)
            for middle, above in apply_points(back, pairs):
                boxes.append(upright_box(middle, above, self.network.box_margin))
        else:
            points, confidence, _ = self._look(crops)
            for person, sure in zip(apply_points(back, points.numpy().astype(float)), confidence >= _SURE, strict=True):
                few = 2 * int(sure.sum()) < len(sure)
                boxes.append(None if few else (padded_box(keypoint_box(person[sure.numpy()]), _CLOSER), 0.0))
        closer = matrices.copy()
        for i, (sample, found) in enumerate(zip(batch, boxes, strict=True)):
            if found is None:
                continue
            box, turn = found
            height, width = sample.image.shape[:2]
            x, y = box[:2] + box[2:] / 2 - 0.5
            inside = 0 <= x < width and 0 <= y < height
            if inside and _LEAST_PX <= max(box[2:]) <= _MOST_SIDES * max(height, width):
                closer[i] = self._crop(box, turn)
        return closer

    def predict(
        self,
        images: str | Path | np.ndarray | Sequence[str | Path | np.ndarray],
        boxes_px: Sequence[Sequence[float]] | np.ndarray | None = None,
        *,
        batch_size: int = 16,
        heatmaps: bool = False,
    ) -> list[Prediction]:
        """What is found in pictures, one person in each.

        Args:
            images: one picture or several: paths (turned as their orientation tags say), or RGB arrays.
            boxes_px: left, top, width, height of the person in each; the whole picture where not given.
            batch_size: pictures that pass through the network together.
            heatmaps: keep them in what is found.

        Raises:
            UserError: a picture cannot be read, is no RGB image, or boxes do not fit their number or have no area.
        """
        several: list[Any] = list(images) if isinstance(images, (list, tuple)) else [images]
        if boxes_px is not None and len(boxes_px) != len(several):
            raise UserError(f"boxes_px has {len(boxes_px)} boxes for {len(several)} images; expected one each")

        def samples() -> Iterator[UnlabeledSample]:
            for number, image in enumerate(several):
                name = f"image {number}" if isinstance(image, np.ndarray) else str(image)
                pixels = image if isinstance(image, np.ndarray) else read_image(image, upright=True)
                if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
                    raise UserError(
                        f"{name} is an array of {pixels.dtype} and shape {pixels.shape}, expected uint8 RGB, "
                        "height x width x 3"
                    )
                box = whole_image_box(pixels.shape[1], pixels.shape[0])
                if boxes_px is not None:
                    box = np.asarray(boxes_px[number], np.float32)
                    if box.shape != (4,) or not (box[2:] > 0).all():
                        raise UserError(f"box of {name} is {boxes_px[number]}, expected left, top, width, height > 0")
                yield UnlabeledSample(image=pixels, box_px=box, name=name)

        return list(self.stream(samples(), batch_size=batch_size, heatmaps=heatmaps))


def _beside(checkpoint: Path, *keys: str) -> Any:
    """Return an option of the run's config, for checkpoints that do not state it; None where there is none."""
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        config = folder / "config.yaml"
        if config.is_file():
            content: Any = read_yaml(config, "config", "the options of a run")
            for key in keys:
                content = content.get(key) if isinstance(content, dict) else None
            return content
    return None


def load(
    path: str | Path | None = None,
    *,
    device: str | None = None,
    image_size: int | None = None,
    skeleton: str | None = None,
    passes: int | None = None,
) -> Predictor:
    """Open a model: a model folder, a checkpoint that `fit` saved, or a pretrained one by its name or file.

    Args:
        path: the model folder (``model.safetensors`` and ``config.yaml``), the checkpoint, the folder of a run, whose
            last checkpoint is taken, an ONNX file with heatmaps or SimCC profiles, a pose landmark network of MediaPipe
            (.tflite), a Simple Baseline or HRNet of Microsoft or mmpose (.pth), ``vitpose:NAME`` or a folder of
            `transformers`, or a name that ``python -m hamipose models list`` has. None means the best pretrained model
            that is here, whose name is logged.
        device: torch's name of a device; the first GPU if there is one where not given.
        image_size: side of the crops; what the model was trained on where not given.
        skeleton: keypoints to give, for pretrained networks that know more than one order; coco17 if None.
        passes: see :class:`Predictor`.

    Raises:
        UserError: it is missing, damaged, does not say what it was trained on, or cannot take crops of that size.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size is {image_size}, expected a side in pixels, at least 1")
    pretrained = open_default(skeleton) if path is None else open_pretrained(path, skeleton)
    if pretrained is not None:
        network, info = pretrained
        model = Predictor(network, replace(info, image_size=image_size or info.image_size), device, passes)
    else:
        assert path is not None
        model = _opened(Path(path), device, image_size, passes)
        if skeleton is not None and isinstance(model.network, Start):
            model.network, model.info = with_skeleton(model.network, model.info, skeleton)
        elif skeleton is not None:
            raise UserError(
                f"skeleton is given for {path}; a model that `fit` or `adapt` made has the one it was made with"
            )
    if image_size is not None:
        model.heatmaps(torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8))
    return model


def _opened(path: Path, device: str | None, image_size: int | None, passes: int | None = None) -> Predictor:
    last = path / "checkpoints" / "last.ckpt"
    if path.is_dir() and last.is_file() and not (path / "model.safetensors").exists():
        path = last
    if path.is_dir():
        network, info = open_folder(path)
        return Predictor(network, replace(info, image_size=image_size or info.image_size), device, passes)
    checkpoint = read_checkpoint(path)
    size = image_size or checkpoint.get("image_size") or _beside(path, "data", "image_size")
    if not isinstance(size, int) or not 0 < size <= 2**14:
        raise UserError(f"checkpoint {path} does not say what size its images had; give image_size (--size)")
    # Checkpoints of earlier versions do not say how their targets were encoded: the run's config does, or the default.
    quantized = _beside(path, "model", "init_args", "training", "quantize") is True
    info = model_info(checkpoint, int(size), quantized)
    return Predictor(evaluated(checkpoint, info), info, device, passes)

"""A model ready to use, and what it finds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hamipose.affine import apply_points, crop_matrix, invert
from hamipose.data.crops import whole_box
from hamipose.data.decode import read_image
from hamipose.data.views import warp
from hamipose.errors import InputError
from hamipose.heatmaps import decode
from hamipose.methods.checkpoint import evaluated, model_info, read_checkpoint
from hamipose.methods.predictions import region_px
from hamipose.models.device import moved
from hamipose.models.folder import ModelInfo, open_folder
from hamipose.models.preprocess import normalise
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabelledSample

__all__ = ["Prediction", "Predictor", "load"]


@dataclass(frozen=True)
class Prediction:
    """One person found in one picture.

    Attributes:
        keypoints_px: in pixels of the picture; the centre of its first pixel is (0, 0).
        confidence: height of each keypoint's heatmap at its peak; near 1 where the network is sure.
        region_px: left, top, width and height of what the network was shown.
        name: where the picture comes from.
        heatmaps: as the network gave them, for its crop; None unless asked for.
    """

    keypoints_px: Float[np.ndarray, "keypoint 2"]
    confidence: Float[np.ndarray, " keypoint"]
    region_px: Float[np.ndarray, "4"]
    name: str
    heatmaps: Float[np.ndarray, "keypoint h w"] | None = None


class Predictor:
    """A network with what it takes to use it on pictures of any size.

    Args:
        network: normalised images → heatmaps, as its method evaluates them.
        info: its kind.
        device: torch's name of a device; the first GPU if there is one where not given.

    Raises:
        InputError: there is no such device.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, device: str | None = None):
        self.info = info
        self.network = network
        self.device = moved(network, device)

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints' order."""
        return self.info.keypoints

    @torch.inference_mode()
    def heatmaps(self, crops: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch keypoint h w"]:
        """Of square crops."""
        return self.network(normalise(crops.to(self.device))).float()

    def stream(
        self, samples: Iterable[UnlabelledSample], *, batch_size: int = 16, heatmaps: bool = False
    ) -> Iterator[Prediction]:
        """What is found in each sample, in their order, a batch at a time: nothing else is kept in memory.

        Args:
            samples: pictures with boxes.
            batch_size: pictures that pass through the network together.
            heatmaps: keep them in what is found.
        """
        size = self.info.image_size
        rest = iter(samples)
        while batch := list(islice(rest, batch_size)):
            matrices = np.stack([crop_matrix(sample.box_px, size) for sample in batch])
            crops = np.stack([warp(s.image, m, size) for s, m in zip(batch, matrices, strict=True)])
            maps = self.heatmaps(torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))).cpu()
            points, confidence = decode(maps)
            original_from_crop = invert(torch.from_numpy(matrices.astype(np.float32)))
            points_px = apply_points(original_from_crop, points).numpy()
            regions = region_px(original_from_crop, size).numpy()
            for i, sample in enumerate(batch):
                kept = maps[i].numpy() if heatmaps else None
                yield Prediction(points_px[i], confidence[i].numpy(), regions[i], sample.name, kept)

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
            InputError: a picture cannot be read, is no RGB image, or boxes do not fit their number or have no area.
        """
        several: list[Any] = list(images) if isinstance(images, (list, tuple)) else [images]
        if boxes_px is not None and len(boxes_px) != len(several):
            raise InputError(f"boxes_px has {len(boxes_px)} boxes for {len(several)} images; expected one each")

        def samples() -> Iterator[UnlabelledSample]:
            for number, image in enumerate(several):
                name = f"image {number}" if isinstance(image, np.ndarray) else str(image)
                pixels = image if isinstance(image, np.ndarray) else read_image(image, upright=True)
                if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
                    raise InputError(
                        f"{name} is an array of {pixels.dtype} and shape {pixels.shape}, expected uint8 RGB, "
                        "height x width x 3"
                    )
                box = whole_box(pixels.shape[1], pixels.shape[0])
                if boxes_px is not None:
                    box = np.asarray(boxes_px[number], np.float32)
                    if box.shape != (4,) or not (box[2:] > 0).all():
                        raise InputError(f"box of {name} is {boxes_px[number]}, expected left, top, width, height > 0")
                yield UnlabelledSample(image=pixels, box_px=box, name=name)

        return list(self.stream(samples(), batch_size=batch_size, heatmaps=heatmaps))


def _size_beside(checkpoint: Path) -> int | None:
    """The side of the crops from the run's config, for checkpoints that do not say."""
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        config = folder / "config.yaml"
        if config.is_file():
            content = yaml.safe_load(config.read_text())
            return (content.get("data") or {}).get("image_size")
    return None


def load(path: str | Path, *, device: str | None = None, image_size: int | None = None) -> Predictor:
    """A model from a model folder (``model.safetensors`` and ``config.yaml``) or from a checkpoint that `fit` saved.

    Args:
        path: the model folder, the checkpoint, or the folder of a run, whose last checkpoint is taken.
        device: torch's name of a device; the first GPU if there is one where not given.
        image_size: side of the crops; what the model was trained on where not given.

    Raises:
        InputError: it is missing, damaged, does not say what it was trained on, or cannot take crops of that size.
    """
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size is {image_size}, expected a side in pixels, at least 1")
    model = _opened(Path(path), device, image_size)
    if image_size is not None:
        model.heatmaps(torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8))
    return model


def _opened(path: Path, device: str | None, image_size: int | None) -> Predictor:
    last = path / "checkpoints" / "last.ckpt"
    if path.is_dir() and last.is_file() and not (path / "model.safetensors").exists():
        path = last
    if path.is_dir():
        network, info = open_folder(path)
        return Predictor(network, replace(info, image_size=image_size or info.image_size), device)
    checkpoint = read_checkpoint(path)
    size = image_size or checkpoint.get("image_size") or _size_beside(path)
    if not size:
        raise InputError(f"checkpoint {path} does not say what size its images had; give image_size (--size)")
    info = model_info(checkpoint, int(size))
    return Predictor(evaluated(checkpoint, info), info, device)

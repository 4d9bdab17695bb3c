"""Predict keypoints in images of any size with a loaded model."""

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
from hamipose.geometry.affine import apply_points, crop_box, crop_matrix, invert, upright_box
from hamipose.geometry.crops import crop_images, crop_to_image, keypoint_box, padded_box, whole_image_box
from hamipose.heatmaps import offset_px
from hamipose.io.image_file import read_image
from hamipose.models.device import move_to_device
from hamipose.models.encoding import decode_heatmaps
from hamipose.models.model_io import ModelInfo
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import PretrainedNetwork
from hamipose.skeletons import HAND21, Skeleton
from hamipose.types import UnlabeledSample

__all__ = ["PosePrediction", "Predictor"]

#: Default number of passes per person of `predict`, `adapt` and `app`, for networks without a number of their own. The
#: crop of the second pass is centered on the keypoints of the first; docs/adapt.md has the gain on built-in people.
_DEFAULT_PASSES = 2

#: A refined crop must have at least this side in pixels, and at most this many times the longer side of the image.
_MIN_SIDE_PX, _MAX_SIDES = 8, 4

#: A refined crop is this many times the box of the keypoints above this confidence; at least half must be above it.
_REFINED_MARGIN, _MIN_CONFIDENCE = 1.4, 0.1

#: A person of lower mean confidence is also tried in rotated crops (networks that need upright crops). In 350 photos of
#: sports without labels, another rotation moved the keypoints of 1 of 219 people above this value, and 6 of 95 below
#: (benchmarks/results/footage/starts.md).
_RETRY_BELOW = 0.7
_RETRY_ROTATIONS_DEG = (90.0, 180.0, 270.0)

#: Keypoints in pixels of the crops, confidences, and heatmaps (None for networks without heatmaps).
_Located = tuple[
    Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"], Float[Tensor, "batch keypoint h w"] | None
]


@dataclass(frozen=True)
class PosePrediction:
    """The predicted pose of one person in one image.

    Attributes:
        keypoints_px: keypoints in pixels of the image; the center of its first pixel is (0, 0).
        confidence: height of each keypoint's heatmap peak; near 1 if the network is confident.
        region_px: left, top, width and height of the crop's region in the image.
        name: name of the image.
        heatmaps: heatmaps of the crop; None unless requested.
        size_px: width and height of the image.
    """

    keypoints_px: Float[np.ndarray, "keypoint 2"]
    confidence: Float[np.ndarray, " keypoint"]
    region_px: Float[np.ndarray, "4"]
    name: str
    heatmaps: Float[np.ndarray, "keypoint h w"] | None = None
    size_px: tuple[int, int] | None = None


class Predictor:
    """A network and everything needed to apply it to images of any size.

    Args:
        network: normalized images → heatmaps, as evaluated by its method.
        info: description of the network.
        device: torch device name; default: the first GPU, if any.
        passes: passes per person. From the second pass on, the crop is derived from the alignment points of the last
            pass, or from its keypoints if the network has no alignment points. Default: the network's own number.

    Raises:
        UserError: there is no such device, `passes` is below 1, or the pretrained network requires another image size.
    """

    _average_mirrored = False

    def __init__(self, network: nn.Module, info: ModelInfo, device: str | None = None, passes: int | None = None):
        self.info = info
        self.network = network
        self.device = move_to_device(network, device)
        if isinstance(network, PretrainedNetwork) and info.image_size != network.image_size:
            raise UserError(
                f"image_size is {info.image_size}, but {info.backbone} only accepts crops of {network.image_size} px"
            )
        own = network.passes if isinstance(network, PretrainedNetwork) else 1
        self.passes = own if passes is None else passes
        if self.passes < 1:
            raise UserError(f"passes is {passes}, expected at least 1")

    @property
    def skeleton(self) -> Skeleton:
        """Return the skeleton of the predicted keypoints."""
        return self.network.skeleton if isinstance(self.network, PretrainedNetwork) else self.info.keypoints

    @property
    def needs_upright_crops(self) -> bool:
        """Return whether the network expects crops that are rotated so that the person is upright."""
        return isinstance(self.network, PretrainedNetwork) and self.network.passes > 1

    @property
    def predicts_bodies(self) -> bool:
        """Return whether the keypoints are those of a body, so that a person detector can provide the boxes."""
        return self.skeleton != HAND21

    def use_default_passes(self) -> "Predictor":
        """Use two passes unless the network has a larger number of its own; return the predictor.

        Bodies are then also averaged with the mirrored crop where that is possible, see :meth:`average_mirrored`.
        """
        self.passes = max(self.passes, _DEFAULT_PASSES)
        return self.average_mirrored(self.predicts_bodies and self._has_symmetric_cells)

    @property
    def _has_symmetric_cells(self) -> bool:
        """Return whether there are heatmaps, whose cells lie symmetrically in the crop."""
        centered = not isinstance(self.network, PretrainedNetwork) or (
            self.network.has_heatmaps and self.network.offset_px == offset_px(self.network.stride)
        )
        return centered and not self.info.quantized

    def average_mirrored(self, enabled: bool = True) -> "Predictor":
        """Average the heatmaps of the last pass with those of the mirrored crop (one more pass); return the predictor.

        Args:
            enabled: False ends it.

        Raises:
            UserError: the network has no heatmaps, or cells that do not lie symmetrically in the crop.
        """
        if enabled and not self._has_symmetric_cells:
            raise UserError(
                f"heatmaps of the mirrored crop were requested, but {self.info.backbone} has no heatmaps whose cells "
                "lie symmetrically in the crop"
            )
        self._average_mirrored = enabled
        return self

    @torch.inference_mode()
    def heatmaps(self, crops: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return the heatmaps of square crops."""
        return self.network(normalize(crops.to(self.device))).float()

    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the crops, and confidences; the inverse of the encoding of the targets."""
        return decode_heatmaps(heatmaps, self.network, quantize=self.info.quantized)

    @torch.inference_mode()
    def locate(self, crops: UInt8[Tensor, "batch 3 size size"]) -> _Located:
        """Return keypoints in pixels of the crops, confidences, and heatmaps (None for networks without heatmaps)."""
        if isinstance(self.network, PretrainedNetwork) and not self.network.has_heatmaps:
            points, confidence = self.network.locate(normalize(crops.to(self.device)))
            return points.cpu(), confidence.cpu(), None
        maps = self.heatmaps(crops).cpu()
        return *self.decode(maps), maps

    def stream(
        self, samples: Iterable[UnlabeledSample], *, batch_size: int = 16, heatmaps: bool = False
    ) -> Iterator[PosePrediction]:
        """Yield the prediction of each sample in order; only one batch is kept in memory.

        Args:
            samples: images with boxes.
            batch_size: samples per batch.
            heatmaps: include the heatmaps in the predictions.
        """
        if heatmaps and isinstance(self.network, PretrainedNetwork) and not self.network.has_heatmaps:
            raise UserError(f"heatmaps were requested, but {self.info.backbone} only predicts keypoints")
        size = self.info.image_size
        for batch, refined in self._refined_batches(samples, batch_size):
            matrices, (points, confidence, maps) = self._locate_people(batch, refined)
            if self._average_mirrored and maps is not None:
                crops = self._crops(batch, matrices).flip(-1)
                maps = (maps + self.heatmaps(crops).cpu().flip(-1)[:, self.skeleton.mirror]) / 2
                points, confidence = self.decode(maps)
            points_px, regions = crop_to_image(points, torch.from_numpy(matrices.astype(np.float32)), size)
            for i, sample in enumerate(batch):
                kept = maps[i].numpy() if heatmaps and maps is not None else None
                height, width = sample.image.shape[:2]
                yield PosePrediction(
                    points_px[i].numpy(), confidence[i].numpy(), regions[i].numpy(), sample.name, kept, (width, height)
                )

    def align(self, samples: Iterable[UnlabeledSample], *, batch_size: int = 16) -> Iterator[UnlabeledSample]:
        """Replace the boxes and rotations of samples by those of the crops after all passes.

        Args:
            samples: images with boxes.
            batch_size: samples per batch.
        """
        for batch, matrices in self._refined_batches(samples, batch_size):
            if self.needs_upright_crops:
                matrices, _ = self._locate_people(batch, matrices)
            for sample, matrix in zip(batch, matrices, strict=True):
                box, rotation_deg = crop_box(matrix, self.info.image_size)
                yield replace(sample, box_px=box, rotation_deg=rotation_deg)

    def _refined_batches(
        self, samples: Iterable[UnlabeledSample], batch_size: int
    ) -> Iterator[tuple[list[UnlabeledSample], Float[np.ndarray, "batch 2 3"]]]:
        """Yield batches of samples with the matrices (image → crop) of the last pass."""
        rest = iter(samples)
        while batch := list(islice(rest, batch_size)):
            matrices = np.stack([self._crop_matrix(sample.box_px, sample.rotation_deg) for sample in batch])
            for _ in range(self.passes - 1):
                matrices = self._refine(batch, matrices)
            yield batch, matrices

    def _crops(
        self, batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"]
    ) -> UInt8[Tensor, "batch 3 size size"]:
        return crop_images([sample.image for sample in batch], matrices, self.info.image_size)

    def _locate_people(
        self, batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"]
    ) -> tuple[Float[np.ndarray, "batch 2 3"], _Located]:
        """Return the results of the last pass, and its matrices, which change for people found in a rotated crop."""
        located = self.locate(self._crops(batch, matrices))
        return self._retry_rotated(batch, matrices, located) if self.needs_upright_crops else (matrices, located)

    @torch.inference_mode()
    def _retry_rotated(
        self, batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"], located: _Located
    ) -> tuple[Float[np.ndarray, "batch 2 3"], _Located]:
        """Try people of low confidence in rotated crops, such as gymnasts upside down; keep the most confident result.

        The rotation is chosen after one pass; only the chosen one gets the remaining passes.

        Returns:
            The matrices and the results, replaced for people whose mean confidence is higher in a rotated crop.
        """
        points, confidence, maps = located
        weak = torch.nonzero(confidence.mean(1) < _RETRY_BELOW)[:, 0].tolist()
        if not weak:
            return matrices, located
        people = [batch[i] for i in weak]
        tries = [
            np.stack([self._crop_matrix(person.box_px, person.rotation_deg + turn) for person in people])
            for turn in _RETRY_ROTATIONS_DEG
        ]
        scores = torch.stack([self.locate(self._crops(people, turned))[1].mean(1) for turned in tries])
        chosen = np.stack([tries[turn][i] for i, turn in enumerate(scores.argmax(0).tolist())])
        for _ in range(self.passes - 1):
            chosen = self._refine(people, chosen)
        new_points, new_confidence, new_maps = self.locate(self._crops(people, chosen))
        matrices = matrices.copy()
        for i, person in enumerate(weak):
            if new_confidence[i].mean() > confidence[person].mean():
                matrices[person], points[person], confidence[person] = chosen[i], new_points[i], new_confidence[i]
                if maps is not None and new_maps is not None:
                    maps[person] = new_maps[i]
        return matrices, (points, confidence, maps)

    def _crop_matrix(self, box: Float[np.ndarray, "4"], rotation_deg: float = 0.0) -> Float[np.ndarray, "2 3"]:
        """Return image → crop for a square whose visible middle, as wide as the network's input, contains the box."""
        if isinstance(self.network, PretrainedNetwork) and self.network.aspect < 1:
            side = max(float(box[3]), float(box[2]) / self.network.aspect)
            left, top = box[:2] + (box[2:] - side) / 2
            box = np.array([left, top, side, side], np.float32)
        return crop_matrix(box, self.info.image_size, rotation_deg)

    @torch.inference_mode()
    def _refine(
        self, batch: list[UnlabeledSample], matrices: Float[np.ndarray, "batch 2 3"]
    ) -> Float[np.ndarray, "batch 2 3"]:
        """Return the crops of the next pass; crops whose predictions are implausible stay unchanged."""
        crops = self._crops(batch, matrices)
        image_from_crop = invert(matrices)
        boxes: list[tuple[Float[np.ndarray, "4"], float] | None] = []
        if isinstance(self.network, PretrainedNetwork) and self.needs_upright_crops:
            pairs = self.network.alignment(normalize(crops.to(self.device))).cpu().numpy().astype(float)
            for middle, above in apply_points(image_from_crop, pairs):
                boxes.append(upright_box(middle, above, self.network.box_margin))
        else:
            points, confidence, _ = self.locate(crops)
            points_px = apply_points(image_from_crop, points.numpy().astype(float))
            for person, confident in zip(points_px, confidence >= _MIN_CONFIDENCE, strict=True):
                if 2 * int(confident.sum()) < len(confident):
                    boxes.append(None)
                else:
                    boxes.append((padded_box(keypoint_box(person[confident.numpy()]), _REFINED_MARGIN), 0.0))
        refined = matrices.copy()
        for i, (sample, box_and_rotation) in enumerate(zip(batch, boxes, strict=True)):
            if box_and_rotation is None:
                continue
            box, rotation_deg = box_and_rotation
            height, width = sample.image.shape[:2]
            x, y = box[:2] + box[2:] / 2 - 0.5
            inside = 0 <= x < width and 0 <= y < height
            if inside and _MIN_SIDE_PX <= max(box[2:]) <= _MAX_SIDES * max(height, width):
                refined[i] = self._crop_matrix(box, rotation_deg)
        return refined

    def predict(
        self,
        images: str | Path | np.ndarray | Sequence[str | Path | np.ndarray],
        boxes_px: Sequence[Sequence[float]] | np.ndarray | None = None,
        *,
        batch_size: int = 16,
        heatmaps: bool = False,
    ) -> list[PosePrediction]:
        """Predict one person per image.

        Args:
            images: one or several images: paths (rotated according to their EXIF orientation) or RGB arrays.
            boxes_px: left, top, width, height of the person in each image; default: the whole image.
            batch_size: images per batch.
            heatmaps: include the heatmaps in the predictions.

        Raises:
            UserError: an image cannot be read or is not RGB, or boxes have another number or no area.
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

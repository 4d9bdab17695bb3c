"""Samples and batches. The target's training batch has no field for labels: a leak is a type error.

Pixels: x points right, y points down, the center of the first pixel is (0, 0). Images are RGB uint8 until they are on
the device. Visibility follows COCO: 0 not labeled or outside the image, 1 labeled but hidden, 2 visible.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

__all__ = [
    "LabeledBatch",
    "PredictedSample",
    "Sample",
    "SourceBatch",
    "TargetBatch",
    "TrainBatch",
    "UnlabeledSample",
]


@dataclass
class UnlabeledSample:
    """One person in one image, without keypoints."""

    image: UInt8[np.ndarray, "height width 3"]
    box_px: Float[np.ndarray, "4"]  # left, top, width, height of the region to crop
    name: str  # origin: a path, or path#annotation
    rotation_deg: float = field(default=0.0, kw_only=True)  # rotation of the person, clockwise as seen
    reduction: int = 1  # the image was decoded at 1/reduction of its size: 1, 2, 4 or 8


@dataclass
class PredictedSample(UnlabeledSample):
    """One person in one image with keypoints that another tool predicted; they may be wrong."""

    pseudo_keypoints_px: Float[np.ndarray, "keypoint 2"] = field(kw_only=True)
    pseudo_scores: Float[np.ndarray, " keypoint"] = field(kw_only=True)  # 0 (no prediction) to 1


@dataclass
class Sample(UnlabeledSample):
    """One person in one image with its keypoints."""

    keypoints_px: Float[np.ndarray, "keypoint 2"] = field(kw_only=True)
    visibility: Int[np.ndarray, " keypoint"] = field(kw_only=True)


@dataclass
class _Batch:
    """Base class of batches, with the methods that Lightning calls to move them to a device."""

    def to(self, device: object, **kwargs: object) -> "_Batch":
        """Return a copy whose tensors, at any depth, are on `device`."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: v.to(device, **kwargs) if hasattr(v, "to") else v for k, v in moved.items()})

    def pin_memory(self) -> "_Batch":
        """Return a copy whose tensors are in page-locked memory."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: v.pin_memory() if hasattr(v, "pin_memory") else v for k, v in moved.items()})


@dataclass
class SourceBatch(_Batch):
    """Labeled images for training; empty for methods that train without source data."""

    image: UInt8[Tensor, "batch 3 height width"]
    keypoints_px: Float[Tensor, "batch keypoint 2"]
    visibility: Int[Tensor, "batch keypoint"]
    name: list[str]
    domain: Int[Tensor, " batch"]  # index of the augmentation among the data module's source_views

    def select(self, mask: Bool[Tensor, " batch"]) -> "SourceBatch":
        """Return the samples for which `mask` is true."""
        kept = [name for name, keep in zip(self.name, mask.tolist(), strict=True) if keep]
        image, keypoints_px, visibility = self.image[mask], self.keypoints_px[mask], self.visibility[mask]
        return SourceBatch(image, keypoints_px, visibility, kept, self.domain[mask])


@dataclass
class TargetBatch(_Batch):
    """Two views of unlabeled images. A view's matrix maps pixels of the plain crop to pixels of the view.

    The fields that begin with `pseudo` contain the keypoints that another tool predicted, in pixels of the plain crop,
    and their scores. Only target sets of :class:`hamipose.data.PredictedKeypoints` fill them.
    """

    student: UInt8[Tensor, "batch 3 height width"]
    teacher: UInt8[Tensor, "batch 3 height width"]
    student_matrix: Float[Tensor, "batch 2 3"]
    teacher_matrix: Float[Tensor, "batch 2 3"]
    student_mirrored: Bool[Tensor, " batch"]
    teacher_mirrored: Bool[Tensor, " batch"]
    name: list[str]
    pseudo_keypoints_px: Float[Tensor, "batch keypoint 2"] | None = None
    pseudo_scores: Float[Tensor, "batch keypoint"] | None = None


@dataclass
class TrainBatch(_Batch):
    """Input of one adaptation step."""

    source: SourceBatch
    target: TargetBatch | None  # None while training uses only the source


@dataclass
class LabeledBatch(_Batch):
    """Images for evaluation: the plain crop, labels in its pixels, and the matrix of the crop."""

    image: UInt8[Tensor, "batch 3 height width"]
    keypoints_px: Float[Tensor, "batch keypoint 2"]
    visibility: Int[Tensor, "batch keypoint"]
    matrix: Float[Tensor, "batch 2 3"]  # original image → crop
    name: list[str]
    index: Shaped[Tensor, " batch"]  # position in the data set, so that no sample is counted twice
    image_size_px: Int[Tensor, "batch 2"] | None = None  # width and height of the original images

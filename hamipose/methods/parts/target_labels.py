"""Label sources of the target loss: the teacher's heatmaps, its keypoints, or predictions of another tool."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from hamipose.gating import confidence
from hamipose.geometry.affine import compose, invert
from hamipose.heatmaps import warp_heatmaps
from hamipose.methods.options import AdaptationOptions
from hamipose.methods.parts.keypoint_labels import TargetLabels, encode_labels, move_keypoints
from hamipose.methods.parts.label_views import LabelViews, combine_views, move_back, render_view
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.models.teacher import Teacher
from hamipose.types import TargetBatch

__all__ = [
    "HeatmapLabels",
    "KeypointLabels",
    "LabelSource",
    "PredictedLabels",
    "check_label_options",
    "label_source",
]


class LabelSource(ABC):
    """Base class of label sources, which label a target batch in the student's view."""

    @abstractmethod
    def __call__(self, teacher: Teacher, batch: TargetBatch) -> TargetLabels:
        """Label a batch.

        Args:
            teacher: the moving average of the student.
            batch: the target images.
        """


class HeatmapLabels(LabelSource):
    """The paper's labels (HamiPose eq. 1): the teacher's heatmaps resampled in the student's view.

    Args:
        mirror: the skeleton's mirror pairs.
        encoding: encoding of the source's labels, which defines the positions of a heatmap's cells.
    """

    def __init__(self, mirror: list[int], encoding: Encoding):
        self.mirror = mirror
        self.encoding = encoding

    @torch.no_grad()
    def __call__(self, teacher: Teacher, batch: TargetBatch) -> TargetLabels:
        """Warp the teacher's heatmaps into the student's view."""
        heatmaps = teacher.pseudo_label(normalize(batch.teacher))
        crossed = batch.student_mirrored ^ batch.teacher_mirrored
        student_from_teacher = _student_from_teacher(batch)
        warped, known = warp_heatmaps(
            heatmaps, student_from_teacher, crossed, self.mirror, quantize=self.encoding.whole_pixels
        )
        weight = known.float() * self.encoding.trainable_keypoints(warped.shape[1], warped.device)[:, None, None]
        return TargetLabels(warped, weight, confidence(heatmaps, crossed, self.mirror))


class KeypointLabels(LabelSource):
    """The teacher's decoded points, moved by the known matrix, encoded, and weighted by the height of their peaks.

    Args:
        mirror: the skeleton's mirror pairs.
        encoding: encoding of labels, as for the source.
        discard_fraction: fraction of the least confident labels to discard, for each keypoint over the batch.
        views: views from which labels are combined.
    """

    def __init__(self, mirror: list[int], encoding: Encoding, discard_fraction: float, views: LabelViews):
        self.mirror = mirror
        self.encoding = encoding
        self.discard_fraction = discard_fraction
        self.views = views

    @torch.no_grad()
    def __call__(self, teacher: Teacher, batch: TargetBatch) -> TargetLabels:
        """Move and encode the teacher's keypoints."""
        keypoints_px, scores = self.keypoints(teacher, batch)
        size = (batch.student.shape[-2], batch.student.shape[-1])
        crossed = batch.student_mirrored ^ batch.teacher_mirrored
        moved = move_keypoints(keypoints_px, scores, _student_from_teacher(batch), crossed, self.mirror, size)
        return encode_labels(*moved, size, self.encoding, self.discard_fraction)

    def keypoints(
        self, teacher: Teacher, batch: TargetBatch
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return the points of a batch in pixels of the teacher's view, and their scores."""
        return self.predict(teacher, batch.teacher)

    def predict(
        self, teacher: Teacher, images: Tensor
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return the teacher's points in pixels of its images, and their scores.

        With ``batchnorm: target`` the teacher keeps the BatchNorm statistics of the images, not those of further views.
        """
        first = self._decoded(teacher.pseudo_label(normalize(images)))
        if self.views.count == 1:
            return first
        matrices, mirrored = self.views.matrices(images.shape[-1])
        others = [self._decoded(teacher(normalize(render_view(images, matrix)))) for matrix in matrices[1:]]
        points, scores = (torch.stack(parts) for parts in zip(first, *others, strict=True))
        sides = torch.tensor(mirrored, device=points.device)
        moved = move_back(points, scores, matrices.to(points.device), sides, self.mirror)
        return combine_views(*moved, radius_px=self.encoding.radius_px)

    def _decoded(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        points, peaks = self.encoding.decode(heatmaps.float())
        return points, peaks.clamp(0, 1)


class PredictedLabels(LabelSource):
    """Keypoints of the target set, predicted by any tool, without the teacher.

    Args:
        mirror: the skeleton's mirror pairs.
        encoding: as for :class:`KeypointLabels`.
        discard_fraction: as for :class:`KeypointLabels`.
    """

    def __init__(self, mirror: list[int], encoding: Encoding, discard_fraction: float):
        self.mirror = mirror
        self.encoding = encoding
        self.discard_fraction = discard_fraction

    @torch.no_grad()
    def __call__(self, teacher: Teacher, batch: TargetBatch) -> TargetLabels:
        """Move and encode the predicted keypoints of the batch."""
        if batch.pseudo_keypoints_px is None or batch.pseudo_scores is None:
            raise UserError(
                "adaptation.labels is predictions, and the target has none; wrap its sets in "
                "hamipose.data.PredictedKeypoints"
            )
        if teacher.batchnorm == "target":
            teacher.pseudo_label(normalize(batch.teacher))  # updates its BatchNorm statistics
        size = (batch.student.shape[-2], batch.student.shape[-1])
        moved = move_keypoints(
            batch.pseudo_keypoints_px,
            batch.pseudo_scores,
            batch.student_matrix,
            batch.student_mirrored,
            self.mirror,
            size,
        )
        return encode_labels(*moved, size, self.encoding, self.discard_fraction)


def label_source(options: AdaptationOptions, encoding: Encoding, mirror: list[int]) -> LabelSource:
    """Return the source of labels that ``adaptation.labels`` names.

    Args:
        options: kind of labels, fraction to discard and views.
        encoding: encoding of labels.
        mirror: the skeleton's mirror pairs.
    """
    if options.labels == "heatmap":
        return HeatmapLabels(mirror, encoding)
    if options.labels == "predictions":
        return PredictedLabels(mirror, encoding, options.discard_fraction)
    return KeypointLabels(mirror, encoding, options.discard_fraction, options.label_views)


def check_label_options(method: str, options: AdaptationOptions) -> None:
    """Check that the options of labels have their defaults, for a method with its own kind of labels.

    Args:
        method: name of the method.
        options: options to check.

    Raises:
        UserError: one of the options differs from its default.
    """
    default = AdaptationOptions()
    for name in ("labels", "discard_fraction", "label_views"):
        if (found := getattr(options, name)) != getattr(default, name):
            raise UserError(f"adaptation.{name} is {found}, and {method} defines its own labels; remove the option")


def _student_from_teacher(batch: TargetBatch) -> Float[Tensor, "batch 2 3"]:
    return compose(batch.student_matrix, invert(batch.teacher_matrix))

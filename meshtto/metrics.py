"""Errors of recovered bodies: pure functions that return one value per joint, and torchmetrics classes that average.

Convention of the field: joints are compared relative to the pelvis (MPJPE), or after a similarity transform without
reflection (PA-MPJPE); vertices are compared unaligned, both meshes at zero translation (PVE). Results are in mm.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric, PearsonCorrCoef

from meshtto.joints import EVALUATION14, JOINTS49
from meshtto.procrustes import align

__all__ = [
    "MPJPE",
    "PAMPJPE",
    "PVE",
    "ErrorCorrelation",
    "MeanError",
    "Protocol",
    "ReprojectionError",
    "aligned_joint_errors",
    "joint_errors",
    "joint_targets",
    "reprojection_errors",
]

#: Joints that replace the regressed ones if the mesh is not labeled.
_OF_49 = [JOINTS49.index(name) for name in EVALUATION14]
_PELVIS = JOINTS49.index("pelvis")


@dataclass(frozen=True)
class Protocol:
    """Everything a score depends on besides the method; written into every result.

    Attributes:
        joints: the joints that are compared, and how they are regressed from vertices.
        root: what is subtracted before MPJPE.
        body: body model of the predictions.
        gender: gender of predictions and of ground truth.
        alignment: alignment of PA-MPJPE.
        vertices: how vertices are compared.
        evidence: source of the 2D keypoints that adaptation uses.
        boxes: source of the boxes.
    """

    joints: str = "14 LSP joints from the H36M regressor"
    root: str = "regressed pelvis"
    body: str = "builtin"
    gender: str = "neutral predictions, ground truth of each subject's gender"
    alignment: str = "similarity with det R = +1, sample by sample"
    vertices: str = "no alignment, both at zero translation"
    evidence: str = "none"
    boxes: str = "ground truth"

    def as_dict(self) -> dict[str, str]:
        """Return the protocol as a dictionary of strings."""
        return asdict(self)


def joint_targets(
    labeled_m: Float[Tensor, "batch 14 3"],
    joints_m: Float[Tensor, "batch 49 3"],
    confidence: Float[Tensor, "batch 49"],
    has_mesh: Bool[Tensor, " batch"],
) -> tuple[Float[Tensor, "batch 14 3"], Bool[Tensor, " batch"]]:
    """Return the target joints relative to the pelvis, and which samples have all of them.

    Args:
        labeled_m: joints regressed from labeled meshes, relative to the regressed pelvis.
        joints_m: labeled joints, used if the mesh is not labeled.
        confidence: confidence of the labeled joints.
        has_mesh: whether the mesh is labeled.
    """
    relative = joints_m[:, _OF_49] - joints_m[:, _PELVIS, None]
    complete = (confidence[:, [*_OF_49, _PELVIS]] > 0).all(1)
    return torch.where(has_mesh[:, None, None], labeled_m, relative), has_mesh | complete


def joint_errors(
    predicted_m: Float[Tensor, "batch point 3"], target_m: Float[Tensor, "batch point 3"]
) -> Float[Tensor, "batch point"]:
    """Return the distance of each point, in meters."""
    return (predicted_m - target_m).norm(dim=-1)


def aligned_joint_errors(
    predicted_m: Float[Tensor, "batch point 3"], target_m: Float[Tensor, "batch point 3"]
) -> Float[Tensor, "batch point"]:
    """Return the distance of each point after Procrustes alignment of its sample, in meters."""
    return joint_errors(align(predicted_m, target_m), target_m)


def reprojection_errors(
    predicted_px: Float[Tensor, "batch point 2"],
    target_px: Float[Tensor, "batch point 2"],
    confidence: Float[Tensor, "batch point"],
) -> Float[Tensor, " batch"]:
    """Return the mean distance in pixels over points with a confidence above 0; NaN if there are none."""
    known = confidence > 0
    distance = torch.where(known, (predicted_px - target_px).norm(dim=-1), 0.0)
    return distance.sum(1) / known.sum(1)


class MeanError(Metric):
    """Mean over samples, separately for each point.

    Args:
        points: errors per sample.
        factor: 1000 converts meters to millimeters.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, points: int, factor: float = 1000.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor
        self.add_state("total", torch.zeros(points, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, errors: Float[Tensor, "batch point"], valid: Bool[Tensor, " batch"] | None = None) -> None:
        """Add a batch; samples that are not `valid` (unlabeled, or padding) do not count."""
        errors = errors if valid is None else errors[valid]
        self.total += errors.double().sum(0)
        self.count += len(errors)

    def per_point(self) -> Float[Tensor, " point"]:
        """Return the mean error of each point over all processes (a collective call); NaN if nothing was counted."""
        with self.sync_context():  # as torchmetrics does for `compute`
            return self._means()

    def _means(self) -> Float[Tensor, " point"]:
        return self.factor * self.total / self.count

    def compute(self) -> Float[Tensor, ""]:
        """Return the mean over samples and points."""
        return self._means().mean()


class MPJPE(MeanError):
    """Mean per-joint position error of joints relative to their root; meters in, mm out."""

    def update(
        self,
        predicted_m: Float[Tensor, "batch point 3"],
        target_m: Float[Tensor, "batch point 3"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> None:
        """Add a batch."""
        self.add(joint_errors(predicted_m, target_m), valid)


class PAMPJPE(MeanError):
    """Mean per-joint position error after Procrustes alignment of each sample; meters in, mm out."""

    def update(
        self,
        predicted_m: Float[Tensor, "batch point 3"],
        target_m: Float[Tensor, "batch point 3"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> None:
        """Add a batch."""
        self.add(aligned_joint_errors(predicted_m, target_m), valid)


class PVE(MeanError):
    """Mean per-vertex error without alignment; meters in, mm out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, **options)

    def update(
        self,
        predicted_m: Float[Tensor, "batch vertex 3"],
        target_m: Float[Tensor, "batch vertex 3"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> None:
        """Add a batch."""
        self.add(joint_errors(predicted_m, target_m).mean(1, keepdim=True), valid)


class ReprojectionError(MeanError):
    """Mean distance between projected joints and 2D keypoints, in pixels of the crop, over samples that have any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, factor=1.0, **options)

    def update(
        self,
        predicted_px: Float[Tensor, "batch point 2"],
        target_px: Float[Tensor, "batch point 2"],
        confidence: Float[Tensor, "batch point"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> None:
        """Add a batch."""
        some = (confidence > 0).any(1)
        errors = reprojection_errors(predicted_px, target_px, confidence)
        self.add(errors[:, None], some if valid is None else some & valid)


class ErrorCorrelation(PearsonCorrCoef):
    """Pearson correlation of the errors of two predictors, over samples, points and axes.

    It is 1 if both make the same errors and 0 if the errors are independent.
    """

    def update(  # type: ignore[override]
        self,
        first_m: Float[Tensor, "batch point 3"],
        second_m: Float[Tensor, "batch point 3"],
        target_m: Float[Tensor, "batch point 3"],
        valid: Bool[Tensor, " batch"],
    ) -> None:
        """Add a batch of points relative to their root; samples that are not `valid` do not count."""
        if valid.any():
            errors = [(points - target_m)[valid].flatten() for points in (first_m, second_m)]
            super().update(*errors)

"""HamiPose whose target labels are wrong for chosen joints: does the gate protect them (benchmarks/findings.py)?"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from hamipose.methods import HamiPose
from hamipose.methods.parts.target_labels import KeypointLabels
from hamipose.models.teacher import Teacher
from hamipose.skeletons import Skeleton
from hamipose.types import TargetBatch

__all__ = ["CorruptedHamiPose", "Corruption", "corrupt"]


@dataclass(frozen=True)
class Corruption:
    """Which labels are made wrong, and how. The same labels of an image are wrong in every step.

    Attributes:
        kind: "exchange" swaps the labels of the left and the right joint; "outlier" moves a label by 0.2 of the crop's
            side in a direction of its own, toward the middle if it would leave the crop.
        rate: share of images in which a pair of joints (or a joint) is wrong.
        joints: names of the joints without "left_" and "right_".
    """

    kind: Literal["exchange", "outlier"] = "exchange"
    rate: float = 0.0
    joints: tuple[str, ...] = ("wrist", "ankle")

    OUTLIER = 0.2


def _uniform(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def corrupt(
    keypoints_px: Float[Tensor, "batch keypoint 2"],
    scores: Float[Tensor, "batch keypoint"],
    names: list[str],
    skeleton: Skeleton,
    corruption: Corruption,
    size: int,
) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
    """Return labels of which some are wrong; scores stay with the points, so wrong labels are as confident as others.

    Args:
        keypoints_px: labels in pixels of the crop.
        scores: their scores.
        names: names of the images, which decide which labels are wrong.
        skeleton: names of the keypoints.
        corruption: which labels, and how.
        size: side of the crop in pixels.
    """
    points, scores = keypoints_px.clone(), scores.clone()
    for joint in corruption.joints:
        left, right = (skeleton.index(f"{side}_{joint}") for side in ("left", "right"))
        if corruption.kind == "exchange":
            wrong = torch.tensor([_uniform(name, joint) < corruption.rate for name in names])
            for values in (points, scores):
                values[wrong, left], values[wrong, right] = values[wrong, right], values[wrong, left]
            continue
        for k in (left, right):
            for n, name in enumerate(names):
                if _uniform(name, k) < corruption.rate:
                    angle = 2 * np.pi * _uniform(name, k, "angle")
                    moved = points[n, k] + corruption.OUTLIER * size * points.new_tensor([np.cos(angle), np.sin(angle)])
                    inside = bool(((moved >= 0) & (moved <= size - 1)).all())
                    middle = points.new_tensor([(size - 1) / 2] * 2) - points[n, k]
                    step = corruption.OUTLIER * size * middle / middle.norm().clamp(min=1e-6)
                    points[n, k] = moved if inside else points[n, k] + step
    return points, scores


class _CorruptedLabels(KeypointLabels):
    """The teacher's keypoints, some of them made wrong."""

    def __init__(self, honest: KeypointLabels, skeleton: Skeleton, corruption: Corruption):
        super().__init__(honest.mirror, honest.encoding, honest.discard_fraction, honest.views)
        self.skeleton = skeleton
        self.corruption = corruption

    def keypoints(
        self, teacher: Teacher, batch: TargetBatch
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return the corrupted keypoints; the teacher's view must be the plain crop."""
        points, scores = super().keypoints(teacher, batch)
        return corrupt(points, scores, batch.name, self.skeleton, self.corruption, batch.teacher.shape[-1])


class CorruptedHamiPose(HamiPose):
    """HamiPose with wrong target labels.

    Args:
        corruption: which labels are wrong.
        arguments: arguments of :class:`hamipose.methods.HamiPose`, with ``adaptation.labels: keypoint``.
    """

    def __init__(self, *arguments, corruption: Corruption = Corruption(), **named):
        super().__init__(*arguments, **named)
        honest = self.adaptation.label_source
        if not isinstance(honest, KeypointLabels):
            raise UserError("CorruptedHamiPose needs adaptation.labels: keypoint")
        self.adaptation.label_source = _CorruptedLabels(honest, self.skeleton, corruption)

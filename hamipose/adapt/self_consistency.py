"""Self-consistency indicators: label-free checks of a pose model that compare its predictions with each other.

They are not accuracy. A model whose predictions change when an image is mirrored or rotated must be wrong in one of the
two; a model whose predictions agree may still be wrong. A model that predicts the same pose for every frame agrees with
itself perfectly, which is why the variety of poses is one of the indicators.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hamipose.geometry.affine import apply_points, augment_matrix, crop_matrix, invert, warp_images
from hamipose.geometry.crops import crop_images
from hamipose.inference.predictor import Predictor
from hamipose.types import UnlabeledSample

__all__ = [
    "SelfConsistency",
    "agreement",
    "comparison_rows",
    "find_warnings",
    "jerk",
    "measure_self_consistency",
    "variety",
]

_TOLERANCE = 0.05  # fraction of the crop's side, as in PCK@0.05
_ROTATION_DEG, _SCALE = 20.0, 0.85


@dataclass(frozen=True)
class SelfConsistency:
    """Self-consistency indicators, as means over frames and keypoints.

    Attributes:
        confidence: height of the heatmap peaks, from 0 to 1.
        mirror_agreement: fraction of keypoints whose prediction in the mirrored image is within 5 % of the crop's side.
        rotation_agreement: the same for the image rotated by 20° and scaled by 0.85.
        variety: spread of the poses about the mean pose, as a fraction of the crop's side.
        jerk: change of motion from frame to frame, as a fraction of the crop's side; None without consecutive frames.
    """

    confidence: float
    mirror_agreement: float
    rotation_agreement: float
    variety: float
    jerk: float | None = None


def agreement(a: Float[Tensor, "frame keypoint 2"], b: Float[Tensor, "frame keypoint 2"], side: int) -> float:
    """Return the fraction of keypoints whose two predictions are within 5 % of the crop's side of each other."""
    return float((torch.linalg.vector_norm(a - b, dim=-1) < _TOLERANCE * side).float().mean())


def variety(points: Float[Tensor, "frame keypoint 2"], side: int) -> float:
    """Return the root mean squared distance from the mean pose, as a fraction of the crop's side."""
    return float((points - points.mean(0)).square().sum(-1).mean().sqrt() / side)


def jerk(points: Float[Tensor, "frame keypoint 2"], side: int) -> float | None:
    """Return the median of |x(t+1) − 2 x(t) + x(t−1)| as a fraction of the side; None for fewer than three frames."""
    if len(points) < 3:
        return None
    second_difference = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(torch.linalg.vector_norm(second_difference, dim=-1).median() / side)


def _locate(model: Predictor, crops: UInt8[Tensor, "batch 3 size size"]) -> tuple[Tensor, Tensor]:
    points, peaks, _ = model.locate(crops)
    return points, peaks.clamp(0, 1)


def measure_self_consistency(
    model: Predictor, frames: Sequence[UnlabeledSample], *, consecutive: bool = False, batch_size: int = 32
) -> SelfConsistency:
    """Return the self-consistency indicators of a model on some frames.

    Args:
        model: the model.
        frames: at least one frame; differences are meaningful from about twenty frames.
        consecutive: whether the frames are consecutive frames of a video.
        batch_size: number of frames per forward pass.
    """
    size = model.info.image_size
    mirror = torch.tensor(model.skeleton.mirror)
    matrix = augment_matrix(size, rotation_deg=_ROTATION_DEG, scale=_SCALE)
    rotation = torch.from_numpy(matrix.astype(np.float32))
    plain, from_mirrored, from_rotated, peaks = [], [], [], []
    for start in range(0, len(frames), batch_size):
        batch = frames[start : start + batch_size]
        matrices = [crop_matrix(frame.box_px, size, frame.rotation_deg) for frame in batch]
        crops = crop_images([frame.image for frame in batch], matrices, size)
        points, peak = _locate(model, crops)
        plain.append(points)
        peaks.append(peak)
        mirrored = _locate(model, crops.flip(-1))[0][:, mirror]
        from_mirrored.append(torch.stack([size - 1 - mirrored[..., 0], mirrored[..., 1]], -1))
        maps = rotation.expand(len(batch), 2, 3)
        rotated = warp_images(crops.float(), maps).round().to(torch.uint8)
        from_rotated.append(apply_points(invert(maps), _locate(model, rotated)[0]))
    points = torch.cat(plain)
    return SelfConsistency(
        confidence=float(torch.cat(peaks).mean()),
        mirror_agreement=agreement(points, torch.cat(from_mirrored), size),
        rotation_agreement=agreement(points, torch.cat(from_rotated), size),
        variety=variety(points, size),
        jerk=jerk(points, size) if consecutive else None,
    )


def find_warnings(before: SelfConsistency, after: SelfConsistency) -> list[str]:
    """Return one line for each indicator that suggests that adaptation harmed the model.

    Confidence is shown but never warned about: it depends more on how a network was trained than on its accuracy.
    """
    warnings = []
    for name, view in (("mirror_agreement", "mirrored"), ("rotation_agreement", "rotated")):
        old, new = getattr(before, name), getattr(after, name)
        if new < old - 0.02:
            warnings.append(
                f"the adapted model is less consistent with itself on {view} frames ({old:.0%} → {new:.0%} agree)"
            )
    if after.variety < 0.6 * before.variety:
        warnings.append(f"its poses vary much less between frames ({before.variety:.2f} → {after.variety:.2f})")
    if before.jerk is not None and after.jerk is not None and after.jerk > 1.2 * before.jerk + 1e-4:
        warnings.append(f"its keypoints move less smoothly ({before.jerk:.4f} → {after.jerk:.4f})")
    return warnings


def comparison_rows(before: SelfConsistency, after: SelfConsistency) -> list[tuple[str, str, str]]:
    """Return the indicators as rows of a table: name, before, after."""
    rows = []
    for field in fields(SelfConsistency):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old is not None and new is not None:
            style = ".0%" if field.name.endswith("agreement") else ".3f"
            rows.append((field.name.replace("_", " "), format(old, style), format(new, style)))
    return rows

"""Signs of success that need no labels: what a pose model says of the same frames, looked at in different ways.

None of them is accuracy. A model that contradicts itself when a picture is mirrored or turned cannot be right both
times; one that agrees with itself may still be wrong, and one that gives every frame the same pose agrees with itself
perfectly: therefore variety is among the signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hamipose.geometry.crops import crop_images
from hamipose.geometry.affine import apply_points, augment_matrix, crop_matrix, invert, warp_images
from hamipose.inference.predictor import Predictor
from hamipose.types import UnlabeledSample

__all__ = ["Signs", "agreement", "jerk", "read_signs", "variety", "warnings"]

_NEAR = 0.05  # of the crop's side: as close as PCK@0.05 asks for
_TURN_DEG, _ZOOM = 20.0, 0.85


@dataclass(frozen=True)
class Signs:
    """Means over frames and keypoints.

    Attributes:
        confidence: height of the heatmaps' peaks, from 0 to 1.
        mirror_agreement: share of keypoints found at the same place (within 5 % of the crop) in the mirrored picture.
        turn_agreement: the same when it is turned by 20° and shown smaller.
        variety: how far poses spread about the mean pose, as a share of the crop's side.
        jerk: change of motion from frame to frame, as a share of the crop's side; None where frames are no video.
    """

    confidence: float
    mirror_agreement: float
    turn_agreement: float
    variety: float
    jerk: float | None = None


def agreement(a: Float[Tensor, "frame keypoint 2"], b: Float[Tensor, "frame keypoint 2"], side: int) -> float:
    """Share of keypoints that two looks put within 5 % of the crop's side of each other."""
    return float((torch.linalg.vector_norm(a - b, dim=-1) < _NEAR * side).float().mean())


def variety(points: Float[Tensor, "frame keypoint 2"], side: int) -> float:
    """Root mean squared distance from the mean pose, as a share of the crop's side."""
    return float((points - points.mean(0)).square().sum(-1).mean().sqrt() / side)


def jerk(points: Float[Tensor, "frame keypoint 2"], side: int) -> float | None:
    """Median of |x(t+1) − 2 x(t) + x(t−1)|, as a share of the crop's side; None for fewer than three frames."""
    if len(points) < 3:
        return None
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(torch.linalg.vector_norm(bend, dim=-1).median() / side)


def _found(model: Predictor, crops: UInt8[Tensor, "batch 3 size size"]) -> tuple[Tensor, Tensor]:
    points, peaks, _ = model.locate(crops)
    return points, peaks.clamp(0, 1)


def read_signs(
    model: Predictor, frames: Sequence[UnlabeledSample], *, consecutive: bool = False, batch_size: int = 32
) -> Signs:
    """The signs of a model on some frames.

    Args:
        model: any.
        frames: at least one; twenty or more for figures worth comparing.
        consecutive: whether they are a video's frames in a row.
        batch_size: frames that pass through the network together.
    """
    size = model.info.image_size
    mirror = torch.tensor(model.skeleton.mirror)
    turned = augment_matrix(size, rotation_deg=_TURN_DEG, scale=_ZOOM)
    turn = torch.from_numpy(turned.astype(np.float32))
    plain, mirrored, back, peaks = [], [], [], []
    for start in range(0, len(frames), batch_size):
        batch = frames[start : start + batch_size]
        matrices = [crop_matrix(frame.box_px, size, frame.rotation_deg) for frame in batch]
        crops = crop_images([frame.image for frame in batch], matrices, size)
        points, peak = _found(model, crops)
        plain.append(points)
        peaks.append(peak)
        flipped = _found(model, crops.flip(-1))[0][:, mirror]
        mirrored.append(torch.stack([size - 1 - flipped[..., 0], flipped[..., 1]], -1))
        maps = turn.expand(len(batch), 2, 3)
        leaning = warp_images(crops.float(), maps).round().to(torch.uint8)
        back.append(apply_points(invert(maps), _found(model, leaning)[0]))
    points = torch.cat(plain)
    return Signs(
        confidence=float(torch.cat(peaks).mean()),
        mirror_agreement=agreement(points, torch.cat(mirrored), size),
        turn_agreement=agreement(points, torch.cat(back), size),
        variety=variety(points, size),
        jerk=jerk(points, size) if consecutive else None,
    )


def warnings(before: Signs, after: Signs) -> list[str]:
    """What speaks for adaptation having hurt; empty where nothing does.

    Confidence is shown but warns of nothing: it depends on how a network was trained more than on whether it is right.
    """
    found = []
    for name, words in (("mirror_agreement", "mirrored"), ("turn_agreement", "turned")):
        old, new = getattr(before, name), getattr(after, name)
        if new < old - 0.02:
            shares = f"{old:.0%} → {new:.0%} agree"
            found.append(f"the adapted model contradicts itself more often on {words} frames ({shares})")
    if after.variety < 0.6 * before.variety:
        found.append(f"its poses differ much less from frame to frame ({before.variety:.2f} → {after.variety:.2f})")
    if before.jerk is not None and after.jerk is not None and after.jerk > 1.2 * before.jerk + 1e-4:
        found.append(f"its keypoints move less evenly ({before.jerk:.4f} → {after.jerk:.4f})")
    return found


def rows(before: Signs, after: Signs) -> list[tuple[str, str, str]]:
    """The signs as a table: name, before, after."""
    table = []
    for field in fields(Signs):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old is not None and new is not None:
            style = ".0%" if field.name.endswith("agreement") else ".3f"
            table.append((field.name.replace("_", " "), format(old, style), format(new, style)))
    return table

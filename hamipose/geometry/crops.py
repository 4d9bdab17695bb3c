"""Boxes to crop: the published square around the true keypoints, and the box that a detector would give.

A box is left, top, width, height in pixels, edges included: (0, 0, W, H) is the whole picture.
"""

import numpy as np
from jaxtyping import Float

from hamipose.geometry.affine import apply_points, crop_matrix, invert

__all__ = ["keypoint_box", "padded_box", "published_crop", "published_labels", "published_letterbox", "whole_box"]

_SIDE = 256  # of the crop that the published labels are scaled to


def whole_box(width: int, height: int) -> Float[np.ndarray, "4"]:
    """The whole picture."""
    return np.array([0, 0, width, height], np.float32)


def keypoint_box(keypoints_px: Float[np.ndarray, "*batch keypoint 2"]) -> Float[np.ndarray, "*batch 4"]:
    """The smallest box with all keypoints in it."""
    low, high = keypoints_px.min(-2), keypoints_px.max(-2)
    return np.concatenate([low, high - low], -1)


def padded_box(box_px: Float[np.ndarray, "*batch 4"], factor: float) -> Float[np.ndarray, "*batch 4"]:
    """The box about the same center with `factor` times its sides."""
    size = box_px[..., 2:] * factor
    return np.concatenate([box_px[..., :2] + (box_px[..., 2:] - size) / 2, size], -1)


def published_crop(
    keypoints_px: Float[np.ndarray, "keypoint 2"], width: int, height: int, scale: float = 1.5
) -> Float[np.ndarray, "4"]:
    """The square that RegDA and UniFrame cut out: `scale` times the longer side of the *true* keypoints' box.

    Its side is a whole number and at most the picture's shorter side; it is centered as well as whole pixels allow,
    then moved inside the picture (``scale_box``). Rounding is Python's: halves go to the even number.
    """
    low, high = keypoints_px.min(0).astype(float), keypoints_px.max(0).astype(float)
    side = min(round(scale * float((high - low).max())), width, height)
    left, top = (round(float(c) - side / 2) for c in (low + high) / 2)
    left = min(max(left, 0), width - side)
    top = min(max(top, 0), height - side)
    return np.array([left, top, side, side], np.float32)


def published_labels(
    keypoints_px: Float[np.ndarray, "keypoint 2"], box_px: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "keypoint 2"]:
    """Keypoints where the published labels have them: they land on (keypoint − corner)·256/side of the 256-pixel crop.

    The picture's pixels land (256/side − 1)/2 further to the right and down; the published loaders forget that.
    """
    scaled = (keypoints_px - box_px[:2]) * (_SIDE / float(box_px[2]))
    return _from_crop(scaled, box_px)


def published_letterbox(
    keypoints_px: Float[np.ndarray, "keypoint 2"], width: int, height: int
) -> Float[np.ndarray, "keypoint 2"]:
    """The same for LSP, whose whole picture is shrunk to 256 pixels along its longer side and padded to a square."""
    longer, shorter = max(width, height), min(width, height)
    margin = (_SIDE - int(_SIDE * shorter / longer)) / 2
    shift = np.array([margin, 0.0] if width < height else [0.0, margin])
    return _from_crop(keypoints_px * (_SIDE / longer) + shift, whole_box(width, height))


def _from_crop(
    labels_px: Float[np.ndarray, "keypoint 2"], box_px: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "keypoint 2"]:
    """Points of the 256-pixel crop of a box as points of the picture."""
    return apply_points(invert(crop_matrix(box_px, _SIDE)), labels_px.astype(float)).astype(np.float32)

"""Boxes of crops: around keypoints, with margins, and the published crops and labels.

A box is left, top, width, height in pixels, edges included: (0, 0, W, H) is the whole image.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hamipose.geometry.affine import apply_points, compose, crop_matrix, invert

__all__ = [
    "crop_images",
    "crop_to_image",
    "keypoint_box",
    "labels_in_view",
    "padded_box",
    "published_crop",
    "published_labels",
    "published_letterbox",
    "warp_crop",
    "whole_image_box",
]

_SIDE = 256  # side of the crop that the published labels are scaled to


def whole_image_box(width: int, height: int) -> Float[np.ndarray, "4"]:
    """Return the box of a whole image."""
    return np.array([0, 0, width, height], np.float32)


def keypoint_box(keypoints_px: Float[np.ndarray, "*batch keypoint 2"]) -> Float[np.ndarray, "*batch 4"]:
    """Return the smallest box that contains all keypoints."""
    low, high = keypoints_px.min(-2), keypoints_px.max(-2)
    return np.concatenate([low, high - low], -1)


def padded_box(box_px: Float[np.ndarray, "*batch 4"], factor: float) -> Float[np.ndarray, "*batch 4"]:
    """Return a box with the same center and `factor` times the side lengths."""
    size = box_px[..., 2:] * factor
    return np.concatenate([box_px[..., :2] + (box_px[..., 2:] - size) / 2, size], -1)


def warp_crop(
    image: UInt8[np.ndarray, "height width 3"], matrix: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Return a square crop of an image; pixels outside the image are black.

    Bilinear interpolation reads only four pixels: an image that is reduced to less than half its size is averaged over
    blocks of pixels first.

    Args:
        image: RGB.
        matrix: image → crop, see :func:`hamipose.geometry.affine.crop_matrix`; it may include an augmentation.
        size: side of the crop in pixels.
    """
    block = int(1 / max(math.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6))
    block = min(block, *image.shape[:2])
    if block >= 2:
        height, width = (side // block * block for side in image.shape[:2])
        image = cv2.resize(image[:height, :width], (width // block, height // block), interpolation=cv2.INTER_AREA)
        matrix = compose(matrix, np.array([[block, 0, (block - 1) / 2], [0, block, (block - 1) / 2]], float))
    # OpenCV warps four channels in half the time of three, with identical bytes; skipped if adding one costs more.
    four = image.shape[0] * image.shape[1] <= 4 * size * size
    source = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if four else image
    moved = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB) if four else moved


def crop_images(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    matrices: Sequence[Float[np.ndarray, "2 3"]] | Float[np.ndarray, "batch 2 3"],
    size: int,
) -> UInt8[Tensor, "batch 3 size size"]:
    """Crop a batch of images; prediction, validation and previews all read their crops through this function.

    Args:
        images: RGB, of any sizes.
        matrices: image → crop, one per image.
        size: side of the crops in pixels.
    """
    crops = np.stack([warp_crop(image, matrix, size) for image, matrix in zip(images, matrices, strict=True)])
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))


def _crop_region(image_from_crop: Float[Tensor, "batch 2 3"], size: int) -> Float[Tensor, "batch 4"]:
    """Return the smallest boxes, in the original images, around the regions that crops show.

    Args:
        image_from_crop: crop → image.
        size: side of the crops in pixels.
    """
    low, high = -0.5, size - 0.5
    corners = image_from_crop.new_tensor([[low, low], [high, low], [low, high], [high, high]])
    corners = apply_points(image_from_crop, corners.expand(len(image_from_crop), 4, 2))
    least, most = corners.amin(1), corners.amax(1)
    return torch.cat([least + 0.5, most - least], 1)


def crop_to_image(
    points_px: Float[Tensor, "batch keypoint 2"], crop_from_image: Float[Tensor, "batch 2 3"], size: int
) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch 4"]]:
    """Map keypoints from crops back to the original images.

    Args:
        points_px: keypoints in pixels of the crops.
        crop_from_image: image → crop.
        size: side of the crops in pixels.

    Returns:
        The keypoints in pixels of the images, and the boxes of the crops (:func:`_crop_region`).
    """
    image_from_crop = invert(crop_from_image)
    return apply_points(image_from_crop, points_px), _crop_region(image_from_crop, size)


def labels_in_view(
    keypoints_px: Float[np.ndarray, "keypoint 2"],
    visibility: Int[np.ndarray, " keypoint"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    mirror: list[int] | None = None,
) -> tuple[Float[np.ndarray, "keypoint 2"], Int[np.ndarray, " keypoint"]]:
    """Map labels to a view; keypoints outside the view get visibility 0.

    Args:
        keypoints_px: keypoints in pixels of the original image.
        visibility: 0, 1 or 2.
        matrix: original image → view.
        size: side of the view in pixels.
        mirror: the skeleton's mirror pairs if the view is mirrored, else None.
    """
    moved = apply_points(matrix, keypoints_px.astype(np.float64)).astype(np.float32)
    if mirror is not None:
        moved, visibility = moved[mirror], visibility[mirror]
    inside = ((moved >= -0.5) & (moved <= size - 0.5)).all(-1)
    return moved, np.where(inside, visibility, 0).astype(np.int64)


def published_crop(
    keypoints_px: Float[np.ndarray, "keypoint 2"], width: int, height: int, scale: float = 1.5
) -> Float[np.ndarray, "4"]:
    """Return the square crop of RegDA and UniFrame: `scale` times the longer side of the *true* keypoints' box.

    The side is an integer and at most the shorter side of the image. The square is centered up to rounding, then moved
    inside the image (``scale_box`` in the published code). Rounding is that of Python: halves go to the even number.
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
    """Return the published labels: keypoints at (keypoint − corner) · 256 / side of the 256-pixel crop.

    The pixels of the image are (256 / side − 1) / 2 further right and down; the published loaders ignore this offset.
    """
    scaled = (keypoints_px - box_px[:2]) * (_SIDE / float(box_px[2]))
    return _from_crop(scaled, box_px)


def published_letterbox(
    keypoints_px: Float[np.ndarray, "keypoint 2"], width: int, height: int
) -> Float[np.ndarray, "keypoint 2"]:
    """Return the published labels of LSP, whose image is resized to 256 px along its longer side, then padded."""
    longer, shorter = max(width, height), min(width, height)
    margin = (_SIDE - int(_SIDE * shorter / longer)) / 2
    shift = np.array([margin, 0.0] if width < height else [0.0, margin])
    return _from_crop(keypoints_px * (_SIDE / longer) + shift, whole_image_box(width, height))


def _from_crop(
    labels_px: Float[np.ndarray, "keypoint 2"], box_px: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "keypoint 2"]:
    """Convert points in the 256-pixel crop of a box to points in the image."""
    return apply_points(invert(crop_matrix(box_px, _SIDE)), labels_px.astype(float)).astype(np.float32)

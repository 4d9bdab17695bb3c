"""Affine maps p → A p + t as 2 × 3 matrices: construction, composition, inversion; application to points and images.

Coordinates are pixels (or cells) whose centers are integers; x points right, y points down. A matrix is named by its
result and its input: ``student_from_teacher`` maps points of the teacher's view to the student's view. Functions marked
*either* accept NumPy arrays and tensors; they use no matrix product, which autocast would round to bfloat16.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "apply_points",
    "augment_matrix",
    "compose",
    "crop_box",
    "crop_matrix",
    "invert",
    "sampling_grid",
    "upright_box",
    "warp_images",
]

Array = TypeVar("Array", Tensor, np.ndarray)


def compose(a: Float[Array, "*batch 2 3"], b: Float[Array, "*batch 2 3"]) -> Float[Array, "*batch 2 3"]:
    """Return the map that applies b, then a (*either*)."""
    product: Array = (a[..., :2, None] * b[..., None, :, :]).sum(-2)
    product[..., 2] += a[..., 2]
    return product


def invert(matrix: Float[Array, "*batch 2 3"]) -> Float[Array, "*batch 2 3"]:
    """Return the inverse map (*either*). A singular matrix gives Inf or NaN."""
    inverse = matrix + 0  # a copy of the same type
    determinant = matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    inverse[..., 0, 0] = matrix[..., 1, 1] / determinant
    inverse[..., 1, 1] = matrix[..., 0, 0] / determinant
    inverse[..., 0, 1] = -matrix[..., 0, 1] / determinant
    inverse[..., 1, 0] = -matrix[..., 1, 0] / determinant
    inverse[..., 2] = -(inverse[..., :2] * matrix[..., None, :, 2]).sum(-1)
    return inverse


def apply_points(
    matrix: Float[Array, "*batch 2 3"], points: Float[Array, "*batch point 2"]
) -> Float[Array, "*batch point 2"]:
    """Apply the map to points (*either*)."""
    moved: Array = (points[..., None, :] * matrix[..., None, :, :2]).sum(-1) + matrix[..., None, :, 2]
    return moved


def crop_matrix(box_px: Float[np.ndarray, "4"], size: int, rotation_deg: float = 0.0) -> Float[np.ndarray, "2 3"]:
    """Return the map from an image to a square crop with a box at its center; the aspect ratio is kept.

    Args:
        box_px: left, top, width, height. The box (0, 0, W, H) is the whole W × H image, edges included.
        size: side of the crop in pixels.
        rotation_deg: rotation of the person in the image, from x towards y (clockwise as seen); the crop is rotated
            back about the center of the box.

    Raises:
        ValueError: the box has no area.
    """
    left, top, width, height = (float(v) for v in box_px)
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width} × {height} px has no area, expected left, top, width, height")
    turn = np.deg2rad(-rotation_deg)
    linear = size / max(width, height) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    center = np.array([left + width / 2 - 0.5, top + height / 2 - 0.5])
    return np.column_stack([linear, (size - 1) / 2 - linear @ center])


def crop_box(matrix: Float[np.ndarray, "2 3"], size: int) -> tuple[Float[np.ndarray, "4"], float]:
    """Return the square box and the rotation in degrees of a crop: the inverse of :func:`crop_matrix`.

    Args:
        matrix: map from image to crop; a scaling, a rotation and a translation.
        size: side of the crop in pixels.
    """
    side = size / float(np.hypot(matrix[0, 0], matrix[1, 0]))
    (center,) = apply_points(invert(matrix), np.full((1, 2), (size - 1) / 2))
    left, top = center + 0.5 - side / 2
    turn_deg = -float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return np.array([left, top, side, side], np.float32), turn_deg


def upright_box(
    middle_px: Float[np.ndarray, "2"], above_px: Float[np.ndarray, "2"], factor: float
) -> tuple[Float[np.ndarray, "4"], float]:
    """Return a square around a point, rotated such that a second point is above it, for :func:`crop_matrix`.

    Args:
        middle_px: center of the square.
        above_px: a point on the circle that the square encloses if `factor` is 1.
        factor: side of the square as a multiple of the diameter of the circle.

    Returns:
        The box, and its rotation in degrees, clockwise as seen.
    """
    x, y = (float(v) for v in above_px - middle_px)
    side = 2 * factor * float(np.hypot(x, y))
    left, top = middle_px + 0.5 - side / 2
    return np.array([left, top, side, side], np.float32), float(np.rad2deg(np.arctan2(x, -y)))


def augment_matrix(
    size: int,
    rotation_deg: float = 0.0,
    scale: float = 1.0,
    translate_frac: tuple[float, float] = (0.0, 0.0),
    mirror: bool = False,
    shear_deg: tuple[float, float] = (0.0, 0.0),
) -> Float[np.ndarray, "2 3"]:
    """Return the map from a crop to a view: mirror, scale, shear and rotate about the center, then translate.

    Args:
        size: side of the crop and of the view in pixels.
        rotation_deg: rotation from x towards y (clockwise as seen).
        scale: values above 1 enlarge.
        translate_frac: translation in x and y as a fraction of the side.
        mirror: whether left and right are exchanged.
        shear_deg: shear in x and y in degrees.
    """
    turn, shear_x, shear_y = np.deg2rad([rotation_deg, *shear_deg])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shear = np.array([[1.0, np.tan(shear_x)], [np.tan(shear_y), 1.0]])
    linear = rotation @ shear @ np.diag([-scale if mirror else scale, scale])
    center = np.full(2, (size - 1) / 2)
    return np.column_stack([linear, center + np.asarray(translate_frac) * size - linear @ center])


def warp_images(
    images: Float[Tensor, "batch channel height width"],
    out_from_in: Float[Tensor, "batch 2 3"],
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "batch channel out_height out_width"]:
    """Warp a batch of images with bilinear interpolation; zero outside the input.

    Args:
        images: images with any number of channels.
        out_from_in: for each image, the map from its pixels to pixels of the result.
        size: height and width of the result. Default: None, those of the input.
    """
    grid = sampling_grid(out_from_in, images.shape[-2:], size or images.shape[-2:])
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def sampling_grid(
    out_from_in: Tensor, in_size: tuple[int, int] | torch.Size, out_size: tuple[int, int] | torch.Size
) -> Tensor:
    """Return the sampling position of each pixel of the result, [batch, height, width, 2], in units of grid_sample.

    All x are contiguous in memory, and all y, which is the fastest layout for grid_sample and comparisons.
    """
    inverse = invert(out_from_in)
    # (2 p + 1) / side − 1 converts pixels to these units, −1 to 1.
    side = inverse.new_tensor([in_size[1], in_size[0]])
    linear = inverse[..., :2] * (2 / side)[:, None]
    shift = (2 * inverse[..., 2] + 1) / side - 1
    x = torch.arange(out_size[1], device=inverse.device, dtype=inverse.dtype)
    y = torch.arange(out_size[0], device=inverse.device, dtype=inverse.dtype)
    along_x = linear[..., 0, None] * x  # [batch, 2, width]
    along_y = linear[..., 1, None] * y + shift[..., None]  # [batch, 2, height]
    return (along_y[..., None] + along_x[:, :, None]).permute(0, 2, 3, 1)

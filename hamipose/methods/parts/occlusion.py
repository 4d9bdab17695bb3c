"""Occlusion as augmentation: patches of an image pasted elsewhere in it, over a chosen keypoint or anywhere."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hamipose.engine.distributed import draw_local_rows

__all__ = ["choose_joint", "paste_patches", "paste_random_patches", "patch_side", "random_corners"]


def patch_side(side_px: float | int, image_size: int) -> int:
    """Return the side of a patch, given in pixels of a 256-pixel crop; it is even, so that it has a center.

    >>> patch_side(20, 256), patch_side(20, 64)
    (20, 4)
    """
    return max(2, 2 * round(side_px * image_size / 512))


def random_corners(count: int, side: int, image_size: int) -> Int[Tensor, "count 2"]:
    """Draw upper left corners of patches inside the image, on the CPU, different ones on each process."""
    return draw_local_rows(lambda rows: torch.randint(image_size - side + 1, (rows, 2)), count)


def choose_joint(
    heights: Float[Tensor, "batch keypoint"], threshold: float, probability: float
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Choose one of each image's keypoints whose peak reaches the threshold, and whether to hide it.

    Args:
        heights: peaks of the teacher's heatmaps.
        threshold: smallest height of a candidate; candidates are equally likely.
        probability: probability that an image with a candidate is chosen.
    """
    sure = heights >= threshold
    images, keypoints = heights.shape
    scores = draw_local_rows(lambda rows: torch.rand(rows, keypoints), images).to(heights.device).masked_fill(~sure, -1)
    chosen = (draw_local_rows(torch.rand, images) <= probability).to(heights.device)
    return scores.argmax(1), chosen & sure.any(1)


def paste_patches(
    images: UInt8[Tensor, "batch 3 height width"],
    centers_px: Float[Tensor, "batch 2"],
    corners: Int[Tensor, "batch 2"],
    side: int,
    chosen: Bool[Tensor, " batch"],
) -> UInt8[Tensor, "batch 3 height width"]:
    """Return copies in which a square of each chosen image is covered by another square of the same image.

    The square covers the `side` pixels from ``round(center) − side/2`` on, in x and y; it is cut off at the borders.

    Args:
        images: the images.
        centers_px: (x, y) of the center to cover.
        corners: (x, y) of the upper left corner of the square to copy; it must lie inside the image.
        side: side of the squares in pixels.
        chosen: images to change.
    """
    height, width = images.shape[-2:]
    start = centers_px.round().long() - side // 2
    x = torch.arange(width, device=images.device) - start[:, :1]  # [batch, width]: position within the square
    y = torch.arange(height, device=images.device) - start[:, 1:]
    covered = ((x >= 0) & (x < side))[:, None, :] & ((y >= 0) & (y < side))[:, :, None] & chosen[:, None, None]
    source_x = (x + corners[:, :1]).clamp(0, width - 1)
    source_y = (y + corners[:, 1:]).clamp(0, height - 1)
    index = (source_y[:, :, None] * width + source_x[:, None, :]).flatten(1)
    elsewhere = images.flatten(2).gather(2, index[:, None].expand(-1, 3, -1)).view_as(images)
    return torch.where(covered[:, None], elsewhere, images)


def paste_random_patches(
    images: UInt8[Tensor, "batch 3 size size"], count: int, side_px: float | int, probability: float = 0.5
) -> UInt8[Tensor, "batch 3 size size"]:
    """Return copies in which some images are covered by patches at random places.

    Args:
        images: the images.
        count: number of patches.
        side_px: side of a patch, in pixels of a 256-pixel crop.
        probability: probability that an image is changed.
    """
    size = images.shape[-1]
    side = patch_side(side_px, size)
    chosen = (draw_local_rows(torch.rand, len(images)) < probability).to(images.device)
    for _ in range(count):
        centers_px = (draw_local_rows(lambda rows: torch.rand(rows, 2), len(images)) * size).to(images.device)
        corners = random_corners(len(images), side, size).to(images.device)
        images = paste_patches(images, centers_px, corners, side, chosen)
    return images

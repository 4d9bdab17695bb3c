"""Occlusion as augmentation: patches of the same picture pasted elsewhere, over a joint of one's choice or anywhere."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from hamipose.engine.distributed import draw_local_rows

__all__ = ["choose_joint", "paste_patches", "patch_side", "random_corners"]


def patch_side(side_px: float | int, image_size: int) -> int:
    """Side of a patch that is given in pixels of a 256-pixel crop; even, so that it has a middle.

    >>> patch_side(20, 256), patch_side(20, 64)
    (20, 4)
    """
    return max(2, 2 * round(side_px * image_size / 512))


def random_corners(count: int, side: int, image_size: int) -> Int[Tensor, "count 2"]:
    """Upper left corners of patches that lie inside the picture, drawn on the CPU; each process's are its own."""
    return draw_local_rows(lambda rows: torch.randint(image_size - side + 1, (rows, 2)), count)


def choose_joint(
    heights: Float[Tensor, "batch keypoint"], threshold: float, probability: float
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """For each image one of the keypoints whose peak reaches the threshold, all alike likely, and whether to hide it.

    Args:
        heights: peaks of the teacher's heatmaps.
        threshold: least height.
        probability: that an image with such a keypoint is chosen at all.
    """
    sure = heights >= threshold
    images, keypoints = heights.shape
    lots = draw_local_rows(lambda rows: torch.rand(rows, keypoints), images).to(heights.device).masked_fill(~sure, -1)
    chosen = (draw_local_rows(torch.rand, images) <= probability).to(heights.device)
    return lots.argmax(1), chosen & sure.any(1)


def paste_patches(
    images: UInt8[Tensor, "batch 3 height width"],
    centers_px: Float[Tensor, "batch 2"],
    corners: Int[Tensor, "batch 2"],
    side: int,
    chosen: Bool[Tensor, " batch"],
) -> UInt8[Tensor, "batch 3 height width"]:
    """Copies with a square of each chosen image covered by another square of the same image.

    The square covers the `side` pixels from ``round(center) − side/2`` on, in x and y; what sticks out is left away.

    Args:
        images: pictures.
        centers_px: (x, y) of what to cover.
        corners: (x, y) of the upper left corner of the square to copy; it must lie inside the image.
        side: of the squares in pixels.
        chosen: images to treat.
    """
    height, width = images.shape[-2:]
    start = centers_px.round().long() - side // 2
    x = torch.arange(width, device=images.device) - start[:, :1]  # [batch, width]: place within the square
    y = torch.arange(height, device=images.device) - start[:, 1:]
    covered = ((x >= 0) & (x < side))[:, None, :] & ((y >= 0) & (y < side))[:, :, None] & chosen[:, None, None]
    source_x = (x + corners[:, :1]).clamp(0, width - 1)
    source_y = (y + corners[:, 1:]).clamp(0, height - 1)
    index = (source_y[:, :, None] * width + source_x[:, None, :]).flatten(1)
    elsewhere = images.flatten(2).gather(2, index[:, None].expand(-1, 3, -1)).view_as(images)
    return torch.where(covered[:, None], elsewhere, images)

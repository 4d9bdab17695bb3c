"""Geometry of crops: the box that a crop shows, and the virtual camera behind an augmented crop.

Rotating an image about its principal point equals rotating the camera about its axis; mirroring the image equals
mirroring the world; zooming only changes the box. An augmented image is therefore a valid image of a *virtual* camera,
and all its labels are exact, including perspective. (SPIN and CLIFF rotate about the center of the box and do not move
the box, which no camera corresponds to; the crop's pixels are the same.)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hamipose.geometry.affine import compose

__all__ = ["CropGeometry", "compute_crop"]


class CropGeometry(NamedTuple):
    """A crop of a virtual full image; `side_px` corresponds to the crop's height."""

    center_px: Float[np.ndarray, "2"]
    side_px: float
    virtual_from_full: Float[np.ndarray, "2 3"]
    crop_from_virtual: Float[np.ndarray, "2 3"]

    @property
    def matrix(self) -> Float[np.ndarray, "2 3"]:
        """Return the map from pixels of the full image to pixels of the crop."""
        return compose(self.crop_from_virtual, self.virtual_from_full)

    def matrix_from_reduced(self, reduction: int) -> Float[np.ndarray, "2 3"]:
        """Return `matrix` for an image decoded at reduced size, full = reduction · p + (reduction − 1) / 2."""
        offset = (reduction - 1) / 2
        return compose(self.matrix, np.array([[reduction, 0, offset], [0, reduction, offset]], float))


def compute_crop(
    box_px: Float[np.ndarray, "4"],
    image_size: Float[np.ndarray, "2"],
    crop: tuple[int, int],
    rotation_deg: float = 0.0,
    scale: float = 1.0,
    mirror: bool = False,
) -> CropGeometry:
    """Compute the crop that shows a box.

    Args:
        box_px: left, top, width and height in the full image.
        image_size: width and height of the full image.
        crop: height and width of the crop. Its height shows max(height, width · crop height / crop width) of the box:
            CLIFF's rule for 256 × 192, SPIN's for a square.
        rotation_deg: image rotation from x towards y, clockwise as seen.
        scale: factor of the box; values above 1 show more.
        mirror: swap left and right before the rotation.
    """
    left, top, width, height = (float(v) for v in box_px)
    aspect = crop[1] / crop[0]
    side = scale * max(height, width / aspect)
    turn = np.deg2rad(rotation_deg)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [-1.0 if mirror else 1.0, 1]
    )
    principal = (np.asarray(image_size, float) - 1) / 2
    virtual = np.column_stack([linear, principal - linear @ principal])
    center = virtual[:, :2] @ [left + (width - 1) / 2, top + (height - 1) / 2] + virtual[:, 2]
    zoom = crop[0] / side
    shift = (np.array([crop[1], crop[0]]) - 1) / 2 - zoom * center
    return CropGeometry(center, side, virtual, np.column_stack([zoom * np.eye(2), shift]))

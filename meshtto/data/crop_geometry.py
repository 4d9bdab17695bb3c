"""From full image to crop: the box that a crop shows, and what augmentation does to the camera behind it.

Turning the picture about its principal point is turning the camera about its axis; mirroring it is mirroring the world;
zooming changes the box alone. So an augmented picture is a real one, of the *virtual* camera, and every label of it is
exact, perspective included. (SPIN and CLIFF turn about the middle of the box and leave the box where it was, which is
no camera's picture; the crop's pixels are the same.)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hamipose.affine import compose

__all__ = ["Framing", "frame"]


class Framing(NamedTuple):
    """A crop of a virtual full image."""

    centre_px: Float[np.ndarray, "2"]
    side_px: float  # what the crop's height shows
    virtual_from_full: Float[np.ndarray, "2 3"]
    crop_from_virtual: Float[np.ndarray, "2 3"]

    @property
    def matrix(self) -> Float[np.ndarray, "2 3"]:
        """Pixels of the full image → pixels of the crop."""
        return compose(self.crop_from_virtual, self.virtual_from_full)

    def matrix_from_reduced(self, reduction: int) -> Float[np.ndarray, "2 3"]:
        """The same from pixels of the image decoded at a fraction of its size: full = reduction · p + (r − 1) / 2."""
        middle = (reduction - 1) / 2
        return compose(self.matrix, np.array([[reduction, 0, middle], [0, reduction, middle]], float))


def frame(
    box_px: Float[np.ndarray, "4"],
    image_size: Float[np.ndarray, "2"],
    crop: tuple[int, int],
    rotation_deg: float = 0.0,
    scale: float = 1.0,
    mirror: bool = False,
) -> Framing:
    """The crop that shows a box.

    Args:
        box_px: left, top, width and height in the full image.
        image_size: width and height of the full image.
        crop: height and width of the crop. Its height shows max(height, width · crop height / crop width) of the box:
            with 256 × 192 CLIFF's rule, with a square SPIN's.
        rotation_deg: of the picture, from x towards y, which is clockwise as seen.
        scale: of the box; above 1 shows more.
        mirror: left and right exchanged, before the turn.
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
    centre = virtual[:, :2] @ [left + (width - 1) / 2, top + (height - 1) / 2] + virtual[:, 2]
    zoom = crop[0] / side
    shift = (np.array([crop[1], crop[0]]) - 1) / 2 - zoom * centre
    return Framing(centre, side, virtual, np.column_stack([zoom * np.eye(2), shift]))

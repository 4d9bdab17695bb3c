"""From metres to pixels: the weak perspective of HMR's crop, and CLIFF's camera of the whole image.

Both read the same three numbers (s, t_x, t_y) of a network. Pixels: x to the right, y down, the centre of the first
pixel is (0, 0); the principal point is the middle of the image. A box has a side b, which fills the crop from top to
bottom.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "Box",
    "Camera",
    "CropCamera",
    "FullFrameCamera",
    "View",
    "box_feature",
    "crop_from_full",
    "default_focal_px",
    "full_frame_translation",
    "full_from_crop",
    "project",
]

#: Nearest depth that is projected, in metres: what lies nearer, or behind the camera, counts as being here.
NEAREST_M = 0.05


class Box(NamedTuple):
    """Where a crop was taken, and with which camera. In a mirrored image everything is in pixels of the mirrored
    one.
    """

    centre_px: Float[Tensor, "batch 2"]
    side_px: Float[Tensor, " batch"]
    image_size: Float[Tensor, "batch 2"]
    """Width and height of the whole image."""
    focal_px: Float[Tensor, " batch"]

    @property
    def principal_px(self) -> Float[Tensor, "batch 2"]:
        """The middle of the image."""
        return (self.image_size - 1) / 2


def default_focal_px(image_size: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
    """The image's diagonal, a field of view of about 55°: CLIFF's guess where nothing is known.

    >>> default_focal_px(torch.tensor([[1920.0, 1080.0]])).round()
    tensor([2203.])
    """
    return image_size.square().sum(-1).sqrt()


def project(
    points_m: Float[Tensor, "batch point 3"],
    translation_m: Float[Tensor, "batch 3"],
    focal_px: Float[Tensor, " batch"],
    principal_px: Float[Tensor, "batch 2"],
) -> Float[Tensor, "batch point 2"]:
    """Pinhole projection, :math:`f (X, Y) / Z + c` of the translated points; depths below 5 cm count as 5 cm."""
    placed = points_m + translation_m[:, None]
    return focal_px[:, None, None] * placed[..., :2] / placed[..., 2:].clamp(min=NEAREST_M) + principal_px[:, None]


def crop_from_full(
    points_px: Float[Tensor, "batch point 2"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "batch point 2"]:
    """Pixels of the whole image → pixels of the upright crop.

    Args:
        points_px: in the whole image.
        box: the crop's box.
        size: height and width of the crop in pixels; b fills its height.
    """
    height, width = size
    middle = points_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    return (points_px - box.centre_px[:, None]) * (height / box.side_px)[:, None, None] + middle


def full_from_crop(
    points_px: Float[Tensor, "batch point 2"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "batch point 2"]:
    """Invert :func:`crop_from_full`."""
    height, width = size
    middle = points_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    return (points_px - middle) * (box.side_px / height)[:, None, None] + box.centre_px[:, None]


def full_frame_translation(camera: Float[Tensor, "batch 3"], box: Box) -> Float[Tensor, "batch 3"]:
    r"""Where the body stands before the camera of the whole image, in metres (CLIFF eq. 4).

    .. math:: t_z = \frac{2 f}{b s}, \qquad t_{xy} \leftarrow t_{xy} + \frac{2 (c - W/2)}{b s}
    """
    scale = box.side_px * camera[:, 0] + 1e-9
    shift = 2 * (box.centre_px - box.principal_px) / scale[:, None]
    return torch.cat([camera[:, 1:] + shift, (2 * box.focal_px / scale)[:, None]], 1)


def box_feature(box: Box) -> Float[Tensor, "batch 3"]:
    r"""What CLIFF's head is told of the crop's place (CLIFF eq. 3; the constants are statistics of Human3.6M).

    .. math:: \left[ 2.8 \tfrac{c_x - W/2}{f},\; 2.8 \tfrac{c_y - H/2}{f},\; \tfrac{b - 0.24 f}{0.06 f} \right]
    """
    focal = box.focal_px[:, None]
    place = 2.8 * (box.centre_px - box.principal_px) / focal
    return torch.cat([place, (box.side_px[:, None] - 0.24 * focal) / (0.06 * focal)], 1)


def _project_scaled(
    points_m: Float[Tensor, "batch point 3"],
    camera: Float[Tensor, "batch 3"],
    side_px: Float[Tensor, " batch"],
    away_px: Float[Tensor, "batch 2"],
    focal_px: Float[Tensor, " batch"],
) -> Float[Tensor, "batch point 2"]:
    r"""The pinhole :math:`f (X + t_x + a / h) / (Z + f / h)` with :math:`h = b s / 2`, as a fraction that is multiplied
    by h:

    .. math:: f\, \frac{h (X + t_x) + a}{f + h Z}

    The same numbers, and smooth where the scale s passes through 0: during adaptation it may, and a division by s then
    has gradients without bound that point away from where it should come back to. Depths below 5 cm count as 5 cm.
    """
    half_px = (side_px * camera[:, 0] / 2)[:, None, None]
    across_px = half_px * (points_m[..., :2] + camera[:, None, 1:]) + away_px[:, None]
    focal_px = focal_px[:, None, None]
    depth_px = torch.maximum(focal_px + half_px * points_m[..., 2:], NEAREST_M * half_px.abs())
    return focal_px * across_px / depth_px


class View(NamedTuple):
    """A projection as a pinhole camera in pixels of the whole image, with the body placed in its axes."""

    translation_m: Float[Tensor, "batch 3"]
    focal_px: Float[Tensor, " batch"]
    principal_px: Float[Tensor, "batch 2"]

    def project(self, points_m: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Project points of the body to pixels of the whole image."""
        return project(points_m, self.translation_m, self.focal_px, self.principal_px)


class Camera(ABC):
    """How three numbers and a crop become a projection.

    Attributes:
        uses_focal: whether the focal length of the whole image plays a part.
    """

    uses_focal: bool

    @abstractmethod
    def project(
        self,
        points_m: Float[Tensor, "batch point 3"],
        camera: Float[Tensor, "batch 3"],
        box: Box,
        size: tuple[int, int],
    ) -> Float[Tensor, "batch point 2"]:
        """Points of the body → pixels of the upright crop of `size` (height, width)."""

    @abstractmethod
    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        """Return the same projection as :meth:`project`, as a pinhole camera of the whole image."""


class FullFrameCamera(Camera):
    """CLIFF: through the whole image's camera, then into the crop."""

    uses_focal = True

    def project(
        self,
        points_m: Float[Tensor, "batch point 3"],
        camera: Float[Tensor, "batch 3"],
        box: Box,
        size: tuple[int, int],
    ) -> Float[Tensor, "batch point 2"]:
        away_px = box.centre_px - box.principal_px
        full_px = _project_scaled(points_m, camera, box.side_px, away_px, box.focal_px) + box.principal_px[:, None]
        return crop_from_full(full_px, box, size)

    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        """See :meth:`Camera.view`; all people of an image share focal length and principal point."""
        return View(full_frame_translation(camera, box), box.focal_px, box.principal_px)


class CropCamera(Camera):
    """HMR: a camera of its own that looks straight at the crop from far away, :math:`t_z = 2 f / (h s)`.

    Args:
        focal_px: its focal length in pixels of the crop.
    """

    uses_focal = False

    def __init__(self, focal_px: float = 5000.0) -> None:
        self.focal_px = focal_px

    def project(
        self,
        points_m: Float[Tensor, "batch point 3"],
        camera: Float[Tensor, "batch 3"],
        box: Box,
        size: tuple[int, int],
    ) -> Float[Tensor, "batch point 2"]:
        height, width = size
        focal, side = (camera.new_full((len(camera),), value) for value in (self.focal_px, height))
        middle = camera.new_tensor([(width - 1) / 2, (height - 1) / 2])
        return _project_scaled(points_m, camera, side, torch.zeros_like(camera[:, 1:]), focal) + middle

    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        r"""See :meth:`Camera.view`; each person has a camera of their own, which looks at the middle of the box.

        .. math:: F = f\, b / h, \qquad t = (t_x, t_y, 2 f / (h s))
        """
        depth_m = 2 * self.focal_px / (size[0] * camera[:, :1] + 1e-9)
        translation_m = torch.cat([camera[:, 1:], depth_m], 1)
        return View(translation_m, self.focal_px * box.side_px / size[0], box.centre_px)

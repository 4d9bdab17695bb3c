"""Projection from meters to pixels: HMR's weak perspective of the crop, and CLIFF's camera of the full image.

Both read the same three numbers (s, t_x, t_y) of a network. Pixels: x to the right, y down; the center of the first
pixel is (0, 0); the principal point is the center of the image. The side b of a box corresponds to the height of the
crop.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from meshtto.types import MeshBatch

__all__ = [
    "Box",
    "Camera",
    "CropCamera",
    "FullFrameCamera",
    "View",
    "box_feature",
    "crop_box",
    "crop_from_full",
    "default_focal_px",
    "full_frame_translation",
    "full_from_crop",
    "project",
]

#: Smallest depth used in projections, in meters; nearer points, and points behind the camera, are clamped to it.
NEAREST_M = 0.05


class Box(NamedTuple):
    """Position of a crop in the full image, and the camera of that image.

    If the image was mirrored, all values are in pixels of the mirrored image.
    """

    center_px: Float[Tensor, "batch 2"]
    side_px: Float[Tensor, " batch"]
    image_size: Float[Tensor, "batch 2"]
    """Width and height of the full image."""
    focal_px: Float[Tensor, " batch"]

    @property
    def principal_px(self) -> Float[Tensor, "batch 2"]:
        """Return the center of the image."""
        return (self.image_size - 1) / 2


def crop_box(batch: MeshBatch) -> Box:
    """Return the boxes of the crops."""
    return Box(batch.center_px, batch.side_px, batch.image_size, batch.focal_px)


def default_focal_px(image_size: Float[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
    """Return the image's diagonal, a field of view of about 55°: CLIFF's choice if the focal length is unknown.

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
    """Project the translated points, :math:`f (X, Y) / Z + c`; depths below 5 cm are clamped to 5 cm."""
    moved = points_m + translation_m[:, None]
    return focal_px[:, None, None] * moved[..., :2] / moved[..., 2:].clamp(min=NEAREST_M) + principal_px[:, None]


def crop_from_full(
    points_px: Float[Tensor, "batch point 2"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "batch point 2"]:
    """Map pixels of the full image to pixels of the upright crop.

    Args:
        points_px: points in the full image.
        box: the crop's box.
        size: height and width of the crop in pixels; b corresponds to its height.
    """
    height, width = size
    center = points_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    return (points_px - box.center_px[:, None]) * (height / box.side_px)[:, None, None] + center


def full_from_crop(
    points_px: Float[Tensor, "batch point 2"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "batch point 2"]:
    """Invert :func:`crop_from_full`."""
    height, width = size
    center = points_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    return (points_px - center) * (box.side_px / height)[:, None, None] + box.center_px[:, None]


def full_frame_translation(camera: Float[Tensor, "batch 3"], box: Box) -> Float[Tensor, "batch 3"]:
    r"""Return the body's translation relative to the camera of the full image, in meters (CLIFF eq. 4).

    .. math:: t_z = \frac{2 f}{b s}, \qquad t_{xy} \leftarrow t_{xy} + \frac{2 (c - W/2)}{b s}
    """
    scale = box.side_px * camera[:, 0] + 1e-9
    shift = 2 * (box.center_px - box.principal_px) / scale[:, None]
    return torch.cat([camera[:, 1:] + shift, (2 * box.focal_px / scale)[:, None]], 1)


def box_feature(box: Box) -> Float[Tensor, "batch 3"]:
    r"""Return the crop's position as CLIFF's head reads it (CLIFF eq. 3; the constants are Human3.6M statistics).

    .. math:: \left[ 2.8 \tfrac{c_x - W/2}{f},\; 2.8 \tfrac{c_y - H/2}{f},\; \tfrac{b - 0.24 f}{0.06 f} \right]
    """
    focal = box.focal_px[:, None]
    position = 2.8 * (box.center_px - box.principal_px) / focal
    return torch.cat([position, (box.side_px[:, None] - 0.24 * focal) / (0.06 * focal)], 1)


def _project_scaled(
    points_m: Float[Tensor, "batch point 3"],
    camera: Float[Tensor, "batch 3"],
    side_px: Float[Tensor, " batch"],
    offset_px: Float[Tensor, "batch 2"],
    focal_px: Float[Tensor, " batch"],
) -> Float[Tensor, "batch point 2"]:
    r"""Project without dividing by the scale.

    The pinhole projection :math:`f (X + t_x + a / h) / (Z + f / h)` with :math:`h = b s / 2`, expanded by h:

    .. math:: f\, \frac{h (X + t_x) + a}{f + h Z}

    The values are the same, but the function is smooth where the scale s passes through 0. That can happen during
    adaptation, and a division by s then has unbounded gradients that point away from the valid range. Depths below 5 cm
    are clamped to 5 cm.
    """
    half_px = (side_px * camera[:, 0] / 2)[:, None, None]
    across_px = half_px * (points_m[..., :2] + camera[:, None, 1:]) + offset_px[:, None]
    focal_px = focal_px[:, None, None]
    depth_px = torch.maximum(focal_px + half_px * points_m[..., 2:], NEAREST_M * half_px.abs())
    return focal_px * across_px / depth_px


class View(NamedTuple):
    """A pinhole camera in pixels of the full image, with the translation of a body."""

    translation_m: Float[Tensor, "batch 3"]
    focal_px: Float[Tensor, " batch"]
    principal_px: Float[Tensor, "batch 2"]

    def project(self, points_m: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Project points of the body to pixels of the full image."""
        return project(points_m, self.translation_m, self.focal_px, self.principal_px)


class Camera(ABC):
    """Turn a network's three numbers and a crop's box into a projection.

    Attributes:
        uses_focal: whether the focal length of the full image is used.
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
        """Project points of the body to pixels of the upright crop of `size` (height, width)."""

    @abstractmethod
    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        """Return the projection of :meth:`project` as a pinhole camera of the full image."""


class FullFrameCamera(Camera):
    """CLIFF's camera: project with the camera of the full image, then map to the crop."""

    uses_focal = True

    def project(
        self,
        points_m: Float[Tensor, "batch point 3"],
        camera: Float[Tensor, "batch 3"],
        box: Box,
        size: tuple[int, int],
    ) -> Float[Tensor, "batch point 2"]:
        """Project to pixels of the upright crop, see :meth:`Camera.project`."""
        offset_px = box.center_px - box.principal_px
        full_px = _project_scaled(points_m, camera, box.side_px, offset_px, box.focal_px) + box.principal_px[:, None]
        return crop_from_full(full_px, box, size)

    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        """See :meth:`Camera.view`; all people of an image have the same focal length and principal point."""
        return View(full_frame_translation(camera, box), box.focal_px, box.principal_px)


class CropCamera(Camera):
    """HMR's camera: faces the center of the crop from far away, :math:`t_z = 2 f / (h s)`.

    Args:
        focal_px: focal length in pixels of the crop.
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
        """Project to pixels of the upright crop, see :meth:`Camera.project`."""
        height, width = size
        focal, side = (camera.new_full((len(camera),), value) for value in (self.focal_px, height))
        center = camera.new_tensor([(width - 1) / 2, (height - 1) / 2])
        return _project_scaled(points_m, camera, side, torch.zeros_like(camera[:, 1:]), focal) + center

    def view(self, camera: Float[Tensor, "batch 3"], box: Box, size: tuple[int, int]) -> View:
        r"""See :meth:`Camera.view`; each person has their own camera, which faces the center of the box.

        .. math:: F = f\, b / h, \qquad t = (t_x, t_y, 2 f / (h s))
        """
        depth_m = 2 * self.focal_px / (size[0] * camera[:, :1] + 1e-9)
        translation_m = torch.cat([camera[:, 1:], depth_m], 1)
        return View(translation_m, self.focal_px * box.side_px / size[0], box.center_px)

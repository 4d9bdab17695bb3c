"""Draw recovered people on their image, and from the side."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from meshtto.body.painter import paint_mesh

__all__ = ["Figure", "overlay", "side_view"]

_SKIN = np.array([203.0, 190.0, 255.0])[::-1]
#: Color of people whose adaptation diverged.
_DIVERGED = np.array([165.0, 165.0, 165.0])
#: Options of `paint_mesh`. Triangles at or behind the camera are not drawn.
_SHADING: dict[str, Any] = {"ambient": 0.45, "diffuse": 0.6, "supersampling": 2, "near_m": 0.05}


class Figure(NamedTuple):
    """A person to draw: a mesh in camera axes (x right, y down, z forward), and the pinhole camera it was fitted with.

    Attributes:
        vertices_m: vertices in camera axes.
        focal_px: focal length of the camera.
        principal_px: principal point of the camera.
        diverged: whether adaptation diverged; drawn in gray.
    """

    vertices_m: Float[np.ndarray, "vertex 3"]
    focal_px: float
    principal_px: Float[np.ndarray, "2"]
    diverged: bool = False

    @property
    def pixels(self) -> Float[np.ndarray, "vertex 2"]:
        """Return the projected vertices."""
        depth_m = np.maximum(self.vertices_m[:, 2:], 1e-3)
        return self.focal_px * self.vertices_m[:, :2] / depth_m + self.principal_px


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    people: Sequence[Figure],
    faces: Int[np.ndarray, "face 3"],
    scale: tuple[float, float] = (1.0, 1.0),
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw all people on their image, the farthest first.

    Args:
        image: RGB.
        people: people with cameras in pixels of the full-size image.
        faces: triangles.
        scale: width and height of `image` relative to the full size.
    """
    # Cameras may have different focal lengths: order people by pixels per meter.
    for person in sorted(people, key=lambda p: -float(p.vertices_m[:, 2].mean()) / p.focal_px):
        pixels = (person.pixels + 0.5) * np.array(scale) - 0.5
        outward = _orient_outward(person.vertices_m, faces)
        color = _DIVERGED if person.diverged else _SKIN
        image = paint_mesh(image, pixels, person.vertices_m, outward, color=color, **_SHADING)
    return image


def side_view(
    vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], size: int = 512
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw one person on white from the side, seen from the right of the camera."""
    middle = (vertices_m.min(0) + vertices_m.max(0)) / 2
    centered = vertices_m - middle
    turned = np.stack([centered[:, 2], centered[:, 1], -centered[:, 0]], 1)
    reach = float(np.abs(turned).max())
    distance = 6 * reach
    turned[:, 2] += distance
    focal_px = 0.42 * size * (distance - reach) / reach
    white = np.full((size, size, 3), 255, np.uint8)
    pixels = Figure(turned, focal_px, np.full(2, (size - 1) / 2)).pixels
    return paint_mesh(white, pixels, turned, _orient_outward(turned, faces), color=_SKIN, **_SHADING)


def _orient_outward(
    vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Int[np.ndarray, "face 3"]:
    """Return the triangles with normals that point outward, for which the enclosed volume is positive."""
    a, b, c = np.moveaxis((vertices_m - vertices_m.mean(0))[faces], 1, 0)
    return faces if (np.cross(a, b) * c).sum() >= 0 else faces[:, ::-1]

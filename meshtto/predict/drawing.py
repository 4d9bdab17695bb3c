"""Draw meshes without OpenGL by the painter's algorithm, with a light behind the camera."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

__all__ = ["Figure", "overlay", "paint", "side_view"]

_SKIN = np.array([203.0, 190.0, 255.0])[::-1]
#: Color of people whose adaptation diverged.
_DIVERGED = np.array([165.0, 165.0, 165.0])
_TOWARDS_LIGHT = np.array([-0.35, -0.6, -0.72])


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


def paint(
    image: UInt8[np.ndarray, "height width 3"],
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    pixels: Float[np.ndarray, "vertex 2"],
    fine: int = 2,
    color: np.ndarray = _SKIN,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of the image with the mesh in front of it.

    Args:
        image: RGB.
        vertices_m: in camera axes: x to the right, y down, z forward.
        faces: triangles.
        pixels: projection of the vertices into the image.
        fine: supersampling factor.
        color: RGB.
    """
    height, width = image.shape[:2]
    corners = vertices_m[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    middle = corners.mean(1)
    # Works for both orientations of triangles: the enclosed volume is positive if normals point outwards.
    relative = corners - vertices_m.mean(0)
    outwards = np.sign((np.cross(relative[:, 0], relative[:, 1]) * relative[:, 2]).sum()) or 1.0
    normals = normals * outwards
    visible = ((normals * middle).sum(1) < 0) & (corners[:, :, 2] > 0.05).all(1)
    at = pixels[faces]
    inside = (at.max(1) >= 0).all(1) & (at.min(1) <= [width, height]).all(1)
    order = np.flatnonzero(visible & inside)
    order = order[np.argsort(-middle[order, 2])]
    light = 0.45 + 0.6 * np.clip(normals @ (_TOWARDS_LIGHT / np.linalg.norm(_TOWARDS_LIGHT)), 0, 1)
    colors = np.clip(light[:, None] * color, 0, 255)
    canvas = cv2.resize(image, (width * fine, height * fine), interpolation=cv2.INTER_LINEAR)
    scaled = np.clip(((at + 0.5) * fine - 0.5) * 16, -(2**20), 2**20).round().astype(np.int32)
    for face in order:
        face_color = [float(c) for c in colors[face]]
        cv2.fillConvexPoly(canvas, scaled[face], face_color, cv2.LINE_AA, shift=4)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


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
        image = paint(image, person.vertices_m, faces, pixels, color=_DIVERGED if person.diverged else _SKIN)
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
    return paint(white, turned, faces, Figure(turned, focal_px, np.full(2, (size - 1) / 2)).pixels)

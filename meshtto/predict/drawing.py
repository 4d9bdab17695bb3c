"""Meshes as pictures, without OpenGL: triangles painted from far to near, lit from behind the camera."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

__all__ = ["overlay", "paint", "side_view"]

_SKIN = np.array([203.0, 190.0, 255.0])[::-1]
_TOWARDS_LIGHT = np.array([-0.35, -0.6, -0.72])


def paint(
    image: UInt8[np.ndarray, "height width 3"],
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    focal_px: float,
    principal_px: tuple[float, float],
    fine: int = 2,
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy of the picture with the mesh before it.

    Args:
        image: RGB.
        vertices_m: in camera axes: x to the right, y down, z forward.
        faces: triangles.
        focal_px: of the camera.
        principal_px: x and y.
        fine: the mesh is painted this many times as large and then made smaller.
    """
    height, width = image.shape[:2]
    depth = vertices_m[:, 2]
    safe = np.maximum(depth, 1e-3)[:, None]
    pixels = focal_px * vertices_m[:, :2] / safe + np.asarray(principal_px)
    corners = vertices_m[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    middle = corners.mean(1)
    # Whichever way round the triangles go: the volume that they enclose is positive where normals point outwards.
    away = corners - vertices_m.mean(0)
    outwards = np.sign((np.cross(away[:, 0], away[:, 1]) * away[:, 2]).sum()) or 1.0
    normals = normals * outwards
    shown = ((normals * middle).sum(1) < 0) & (corners[:, :, 2] > 0.05).all(1)
    at = pixels[faces]
    inside = (at.max(1) >= 0).all(1) & (at.min(1) <= [width, height]).all(1)
    order = np.flatnonzero(shown & inside)
    order = order[np.argsort(-middle[order, 2])]
    light = 0.45 + 0.6 * np.clip(normals @ (_TOWARDS_LIGHT / np.linalg.norm(_TOWARDS_LIGHT)), 0, 1)
    colours = np.clip(light[:, None] * _SKIN, 0, 255)
    canvas = cv2.resize(image, (width * fine, height * fine), interpolation=cv2.INTER_LINEAR)
    scaled = np.clip(((at + 0.5) * fine - 0.5) * 16, -(2**20), 2**20).round().astype(np.int32)
    for face in order:
        colour = [float(c) for c in colours[face]]
        cv2.fillConvexPoly(canvas, scaled[face], colour, cv2.LINE_AA, shift=4)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    people: list[Float[np.ndarray, "vertex 3"]],
    faces: Int[np.ndarray, "face 3"],
    focal_px: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """All people on their picture, the farthest first."""
    height, width = image.shape[:2]
    for vertices in sorted(people, key=lambda v: -float(v[:, 2].mean())):
        image = paint(image, vertices, faces, focal_px, ((width - 1) / 2, (height - 1) / 2))
    return image


def side_view(
    vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], size: int = 512
) -> UInt8[np.ndarray, "size size 3"]:
    """One person seen from its right of the camera, on white: what a picture does not show."""
    middle = (vertices_m.min(0) + vertices_m.max(0)) / 2
    centred = vertices_m - middle
    turned = np.stack([centred[:, 2], centred[:, 1], -centred[:, 0]], 1)
    reach = float(np.abs(turned).max())
    away = 6 * reach
    turned[:, 2] += away
    focal = 0.42 * size * (away - reach) / reach
    white = np.full((size, size, 3), 255, np.uint8)
    return paint(white, turned, faces, focal, ((size - 1) / 2, (size - 1) / 2))

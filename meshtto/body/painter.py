"""Draw shaded meshes without OpenGL by the painter's algorithm."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

__all__ = ["paint_mesh"]

_SKIN = np.array([206.0, 190.0, 222.0])
_TO_LIGHT = np.array([-0.35, -0.6, -0.72])  # above and behind the left shoulder of the viewer
_TO_LIGHT /= np.linalg.norm(_TO_LIGHT)


def paint_mesh(
    image: UInt8[np.ndarray, "height width 3"],
    pixels: Float[np.ndarray, "vertex 2"],
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    opacity: float = 1.0,
    *,
    color: Float[np.ndarray, "3"] = _SKIN,
    ambient: float = 0.3,
    diffuse: float = 0.7,
    supersampling: int = 1,
    near_m: float | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of the image with a shaded mesh over it.

    Args:
        image: RGB.
        pixels: projection of each vertex.
        vertices_m: vertices in camera axes (x right, y down, z forward), for depth and shading.
        faces: triangles, counter-clockwise seen from outside.
        opacity: 0 to 1.
        color: RGB of the mesh.
        ambient: brightness of shaded parts.
        diffuse: additional brightness of lit parts.
        supersampling: resolution of the drawing relative to the image.
        near_m: minimum depth of triangles; default: no limit.
    """
    height, width = image.shape[:2]
    corners, flat = vertices_m[faces], pixels[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    first, second = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    # Counter-clockwise faces seen from the front have a negative area in an image, whose y axis points down.
    visible = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] < 0
    visible &= (flat.max(1) >= -1).all(1) & (flat.min(1) <= [width, height]).all(1)
    if near_m is not None:
        visible &= (corners[:, :, 2] > near_m).all(1)
    order = np.flatnonzero(visible)
    order = order[np.argsort(-corners[order, :, 2].sum(1))]
    brightness = ambient + diffuse * np.clip(normals @ _TO_LIGHT, 0, 1)
    colors = np.clip(brightness[:, None] * color, 0, 255)
    canvas = np.ascontiguousarray(image).copy()
    if supersampling > 1:
        size = (width * supersampling, height * supersampling)
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_LINEAR)
    scaled = np.clip(((flat + 0.5) * supersampling - 0.5) * 16, -(2**20), 2**20).round().astype(np.int32)
    for face in order:
        cv2.fillConvexPoly(canvas, scaled[face], colors[face].tolist(), cv2.LINE_AA, shift=4)
    if supersampling > 1:
        canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return canvas if opacity >= 1 else cv2.addWeighted(canvas, opacity, np.ascontiguousarray(image), 1 - opacity, 0)

"""What the renderer and the wardrobe have to know of a surface, be it a body's or a hand's; and its normals."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Normals", "Surface", "bounds", "lengths"]


@runtime_checkable
class Surface(Protocol):
    """Constant facts of a mesh; see `bodies.Bodies` for their meaning."""

    faces: Int[np.ndarray, "face 3"]
    part: Int[np.ndarray, " vertex"]
    face_part: Int[np.ndarray, " face"]
    along: Float[np.ndarray, " vertex"]
    hair: Float[np.ndarray, " vertex"]
    cloth_m: Float[np.ndarray, "vertex 3"]
    rest_m: Float[np.ndarray, "vertex 3"]

    def __hash__(self) -> int:
        """Return a hash of the identity: a process keeps one renderer for each surface."""
        ...


class Normals:
    """Unit normals of a mesh's vertices, outward: the area-weighted mean of the triangles around each.

    Args:
        faces: triangles, counter-clockwise from outside.
        count: of vertices.
    """

    def __init__(self, faces: Int[np.ndarray, "face 3"], count: int):
        from scipy.sparse import csr_matrix

        corners = faces.reshape(-1)
        owner = np.repeat(np.arange(len(faces)), 3)
        self._around = csr_matrix((np.ones(len(corners)), (corners, owner)), (count, len(faces)))
        self._corners = np.ascontiguousarray(faces.T)

    def __call__(self, vertices_m: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
        # Coordinate by coordinate, which is quicker than numpy's cross product of rows.
        axes = np.ascontiguousarray(vertices_m.T)
        a, b, c = ([axis.take(corner) for axis in axes] for corner in self._corners)
        (px, py, pz), (qx, qy, qz) = ([end - start for end, start in zip(side, a, strict=True)] for side in (b, c))
        normals = self._around @ np.stack([py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx], 1)
        x, y, z = normals.T
        normals /= np.maximum(np.sqrt(x * x + y * y + z * z), 1e-12)[:, None]
        return normals


def bounds(points: Float[np.ndarray, "point axis"]) -> tuple[Float[np.ndarray, " axis"], Float[np.ndarray, " axis"]]:
    """Least and greatest of each coordinate; numpy takes ten times as long over rows as short as these."""
    axes = np.ascontiguousarray(points.T)
    return axes.min(1), axes.max(1)


def lengths(vectors: Float[np.ndarray, "vector 3"]) -> Float[np.ndarray, " vector"]:
    """Length of each row: the numbers of ``np.linalg.norm`` in a third of its time."""
    x, y, z = vectors.T
    return np.sqrt(x * x + y * y + z * z)

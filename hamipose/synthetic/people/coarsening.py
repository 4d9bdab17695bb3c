"""Reduce the number of vertices of a mesh. The result is a subset of the vertices, so their properties stay valid.

Vertices are merged into neighbors until few enough are left; first those whose removal moves the surface least and
whose edges are shortest. Each round merges vertices that are too far apart to affect each other.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["coarsen"]

# A displacement of the surface by the first value has the same cost as an edge of the second length.
_DISTANCE_M = 1e-3
_LENGTH_M = 0.008


def coarsen(
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    group: Int[np.ndarray, " vertex"],
    keep: Int[np.ndarray, " kept"],
    target: int,
) -> tuple[Int[np.ndarray, " coarse"], Int[np.ndarray, "coarse_face 3"]]:
    """Merge vertices until at most `target` are left, or no more can be merged.

    Args:
        vertices_m: positions.
        faces: triangles, consistently oriented.
        group: group of each vertex; vertices are merged within a group only.
        keep: vertices that must stay; those on an open border stay, too.
        target: number of vertices.

    Returns:
        The remaining vertices in ascending order, and the triangles as indices into them.
    """
    faces = faces.astype(np.int64)
    planes = _plane_quadrics(vertices_m, faces)
    fixed = np.zeros(len(vertices_m), bool)
    fixed[keep] = True
    left = len(np.unique(faces))
    while left > target:
        merged, into = _select_merges(vertices_m, faces, group, fixed, planes)
        merged, into = merged[: left - target], into[: left - target]
        if not len(merged):
            break
        np.add.at(planes, into, planes[merged])
        moved = np.arange(len(vertices_m))
        moved[merged] = into
        faces = moved[faces]
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
        left -= len(merged)
    stay, numbered = np.unique(faces, return_inverse=True)
    return stay, numbered.reshape(-1, 3)


def _plane_quadrics(
    vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "vertex 4 4"]:
    """Return the summed squared distance to the planes of the triangles around each vertex, as a quadratic form."""
    a, b, c = (vertices_m[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    plane = np.column_stack([normal, -(normal * a).sum(1)])
    out = np.zeros((len(vertices_m), 4, 4))
    for corner in range(3):
        np.add.at(out, faces[:, corner], plane[:, :, None] * plane[:, None])
    return out


def _select_merges(
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    group: Int[np.ndarray, " vertex"],
    fixed: Bool[np.ndarray, " vertex"],
    planes: Float[np.ndarray, "vertex 4 4"],
) -> tuple[Int[np.ndarray, " merge"], Int[np.ndarray, " merge"]]:
    """Return the vertices to merge and the vertices they are merged into, the cheapest merge first."""
    from scipy.sparse import csr_matrix

    count = len(vertices_m)
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both = np.concatenate([sides, sides[:, ::-1]])
    shared = csr_matrix((np.ones(len(both), np.int32), both.T), (count, count))
    start, end = shared.nonzero()
    movable = ~fixed
    movable[start[shared.data != 2]] = False  # on an open border
    good = movable[start] & (group[start] == group[end])
    start, end = start[good], end[good]
    at = np.column_stack([vertices_m[end], np.ones(len(end))])
    off = np.sqrt(np.maximum(((planes[start] @ at[:, :, None])[:, :, 0] * at).sum(1), 0.0))
    length = np.linalg.norm(vertices_m[end] - vertices_m[start], axis=1)
    cost = off / _DISTANCE_M + (length / _LENGTH_M) ** 2

    # The cheapest merge of each vertex, and the cheaper half of all vertices.
    order = np.argsort(cost, kind="stable")
    start, first = np.unique(start[order], return_index=True)
    end, cost = end[order][first], cost[order][first]
    # Merging two vertices with a third common neighbor would fold the surface.
    adjacent = csr_matrix((np.ones(len(shared.data), np.int32), shared.indices, shared.indptr), (count, count))
    common = np.asarray(adjacent[start].multiply(adjacent[end]).sum(1)).ravel()
    good = (common == 2) & (cost <= np.median(cost))
    good[good] = ~_flips_triangle(vertices_m, faces, start[good], end[good])
    start, end, cost = start[good], end[good], cost[good]

    rank = np.full(count, count)
    order = np.argsort(cost, kind="stable")
    rank[start[order]] = np.arange(len(order))
    near = rank
    for _ in range(2):
        least = near.copy()
        np.minimum.at(least, both[:, 0], near[both[:, 1]])
        near = least
    chosen = order[rank[start[order]] == near[start[order]]]
    return start[chosen], end[chosen]


def _flips_triangle(
    vertices_m: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    start: Int[np.ndarray, " edge"],
    end: Int[np.ndarray, " edge"],
) -> Bool[np.ndarray, " edge"]:
    """Return whether merging the vertices of an edge rotates another triangle by more than about 60 degrees."""
    from scipy.sparse import csr_matrix

    corners = faces.reshape(-1)
    around = csr_matrix((np.ones(len(corners)), (corners, np.arange(len(corners)))), (len(vertices_m), len(corners)))
    per_edge = np.diff(around.indptr)[start]
    edge = np.repeat(np.arange(len(start)), per_edge)
    offset = np.arange(len(edge)) - np.repeat(np.cumsum(per_edge) - per_edge, per_edge)
    corner = around.indices[around.indptr[start[edge]] + offset]
    face, place = corner // 3, corner % 3
    second, third = faces[face, (place + 1) % 3], faces[face, (place + 2) % 3]
    other = (second != end[edge]) & (third != end[edge])
    edge, second, third = edge[other], second[other], third[other]
    b, c = vertices_m[second], vertices_m[third]
    before = np.cross(b - vertices_m[start[edge]], c - vertices_m[start[edge]])
    after = np.cross(b - vertices_m[end[edge]], c - vertices_m[end[edge]])
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    bad = np.zeros(len(start), bool)
    bad[edge[(before * after).sum(1) < 0.5 * scale]] = True
    return bad

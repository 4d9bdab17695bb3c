"""Rasterization in warp: find the first triangle on each camera ray by drawing all triangles.

Ray by ray, this search would take half of the rendering time. Rasterization is faster but rounds differently, so it
only determines the triangle, which is then intersected with the ray; where the result is uncertain, the ray is traced.
"""

from typing import no_type_check

import warp as wp

__all__ = ["NONE", "UNSURE", "node_at", "number_nodes", "rasterize"]

#: Values in place of the node of a triangle.
NONE = wp.constant(-1)
UNSURE = wp.constant(-2)

_MARGIN_PX = wp.constant(2.0e-3)  # within this distance from an edge, rounding decides on which side a ray passes
_MARGIN_DEPTH = wp.constant(1.0e-4)  # within this relative distance, it decides which surface is in front


@wp.kernel
@no_type_check
def rasterize(
    corners: wp.array(dtype=wp.int32),
    nodes: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3),
    nearest: wp.array2d(dtype=wp.int64),
    unsure: wp.array2d(dtype=wp.uint8),
):
    """Draw one triangle onto the samples, of which a pixel has 2×2.

    Args:
        corners: vertices of the triangles.
        nodes: node of each triangle in the mesh.
        points: column and row in samples, and inverse depth of the vertices.
        nearest: maximum over the triangles of a key: bits of the inverse depth followed by the node.
        unsure: set to 1 where rounding may decide.
    """
    face = wp.tid()
    a = points[corners[face * 3]]
    b = points[corners[face * 3 + 1]]
    c = points[corners[face * 3 + 2]]
    spread = wp.abs(a[0]) + wp.abs(a[1]) + wp.abs(b[0]) + wp.abs(b[1]) + wp.abs(c[0]) + wp.abs(c[1])
    margin = 2.0 * _MARGIN_PX + 2.0e-7 * spread  # large numbers have a coarser resolution
    left = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - margin)), 0)
    right = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])) + margin)), nearest.shape[1] - 1)
    top = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - margin)), 0)
    bottom = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])) + margin)), nearest.shape[0] - 1)
    if left > right or top > bottom:
        return
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area < 0.0:
        swap = b
        b = c
        c = swap
    area = wp.max(wp.abs(area), 1.0e-20)
    # The inverse depth is linear in the image.
    slope_x = ((b[2] - a[2]) * (c[1] - a[1]) - (c[2] - a[2]) * (b[1] - a[1])) / area
    slope_y = ((c[2] - a[2]) * (b[0] - a[0]) - (b[2] - a[2]) * (c[0] - a[0])) / area
    # Direction of each side, and the margin times an upper bound of its length.
    ab = wp.vec3(b[0] - a[0], b[1] - a[1], margin * (wp.abs(b[0] - a[0]) + wp.abs(b[1] - a[1])))
    bc = wp.vec3(c[0] - b[0], c[1] - b[1], margin * (wp.abs(c[0] - b[0]) + wp.abs(c[1] - b[1])))
    ca = wp.vec3(a[0] - c[0], a[1] - c[1], margin * (wp.abs(a[0] - c[0]) + wp.abs(a[1] - c[1])))
    for i in range(top, bottom + 1):
        y = float(i)
        for j in range(left, right + 1):
            x = float(j)
            # Twice the area between the sample and each side; positive inside.
            off_ab = ab[0] * (y - a[1]) - ab[1] * (x - a[0])
            off_bc = bc[0] * (y - b[1]) - bc[1] * (x - b[0])
            off_ca = ca[0] * (y - c[1]) - ca[1] * (x - c[0])
            if off_ab >= -ab[2] and off_bc >= -bc[2] and off_ca >= -ca[2]:
                if off_ab > ab[2] and off_bc > bc[2] and off_ca > ca[2]:
                    near = a[2] + slope_x * (x - a[0]) + slope_y * (y - a[1])
                    key = (wp.int64(wp.cast(near, wp.int32)) << wp.int64(32)) | wp.int64(nodes[face])
                    before = wp.atomic_max(nearest, i, j, key)
                    other = wp.cast(wp.int32(before >> wp.int64(32)), wp.float32)
                    if wp.abs(other - near) < _MARGIN_DEPTH * near:
                        unsure[i, j] = wp.uint8(1)
                else:
                    unsure[i, j] = wp.uint8(1)


@wp.func
@no_type_check
def node_at(nearest: wp.array2d(dtype=wp.int64), unsure: wp.array2d(dtype=wp.uint8), i: int, j: int):
    """Return the node of the first triangle on the ray through a sample, or `NONE`, or `UNSURE`."""
    if unsure[i, j] != wp.uint8(0):
        return UNSURE
    key = nearest[i, j]
    if key == wp.int64(0):
        return NONE
    return wp.int32(key & wp.int64(0x7FFFFFFF))


@wp.kernel
@no_type_check
def number_nodes(mesh: wp.uint64, nodes: wp.array(dtype=wp.int32)):
    """Store the node of each triangle in a mesh in which each triangle is a group."""
    face = wp.tid()
    nodes[face] = wp.mesh_get_group_root(mesh, face)

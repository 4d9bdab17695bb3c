"""What a ray meets: the body, solids, the floor. For warp, like `kernels`."""

from typing import no_type_check

import warp as wp

from hamipose.synthetic.renderer.raster import NONE, UNSURE

# ruff: noqa: SIM102 - warp evaluates both sides of `and`, so what is costly stands in an inner `if`.

__all__ = ["Hit", "Things", "blocked", "meet"]


@wp.struct
@no_type_check
class Things:
    """What blocks rays. Handed on as an array of one, since warp copies structures at every call."""

    mesh: wp.uint64
    # the same triangles, each a group
    singles: wp.uint64
    # rows: center, three rows of the frame, (kind, radius, material)
    solids: wp.array2d(dtype=wp.vec3)
    count: wp.int32
    body_center: wp.vec3
    body_radius: wp.float32


@wp.struct
@no_type_check
class Hit:
    t: wp.float32
    kind: wp.int32  # 0 nothing, 1 body, 2 solid, 3 ground
    index: wp.int32  # triangle or solid
    u: wp.float32
    v: wp.float32
    normal: wp.vec3


@wp.func
@no_type_check
def past_sphere(start: wp.vec3, way: wp.vec3, center: wp.vec3, radius: float):
    to = center - start
    along = wp.dot(to, way)
    return wp.dot(to, to) - along * along > radius * radius or along < -radius


@wp.func
@no_type_check
def meet_solid(solids: wp.array2d(dtype=wp.vec3), k: int, start: wp.vec3, way: wp.vec3, far: float):
    """Distance to a solid (far where it is missed) and the outward normal there, not normalized."""
    t_best = far
    normal = wp.vec3(0.0, 0.0, 0.0)
    center = solids[k, 0]
    if not past_sphere(start, way, center, solids[k, 4][1]):
        frame = wp.matrix_from_rows(solids[k, 1], solids[k, 2], solids[k, 3])
        o = frame * (start - center)
        d = frame * way
        kind = int(solids[k, 4][0])
        if kind == 0:
            near = -1.0e9
            exit = 1.0e9
            side = 0
            for i in range(3):
                if wp.abs(d[i]) < 1.0e-7:
                    if wp.abs(o[i]) > 1.0:
                        exit = -1.0e9
                else:
                    t0 = (-wp.sign(d[i]) - o[i]) / d[i]
                    if t0 > near:
                        near = t0
                        side = i
                    exit = wp.min(exit, (wp.sign(d[i]) - o[i]) / d[i])
            if near < exit and near > 1.0e-4 and near < far:
                t_best = near
                row = wp.vec3(frame[side, 0], frame[side, 1], frame[side, 2])
                normal = -wp.sign(d[side]) * row
        elif kind == 1:
            a = wp.dot(d, d)
            b = wp.dot(o, d)
            disc = b * b - a * (wp.dot(o, o) - 1.0)
            if disc > 0.0:
                t0 = (-b - wp.sqrt(disc)) / a
                if t0 > 1.0e-4 and t0 < far:
                    t_best = t0
                    normal = wp.transpose(frame) * (o + t0 * d)
        else:
            a = d[0] * d[0] + d[1] * d[1]
            b = o[0] * d[0] + o[1] * d[1]
            disc = b * b - a * (o[0] * o[0] + o[1] * o[1] - 1.0)
            if disc > 0.0 and a > 1.0e-9:
                t0 = (-b - wp.sqrt(disc)) / a
                z0 = o[2] + t0 * d[2]
                if t0 > 1.0e-4 and t0 < far and wp.abs(z0) <= 1.0:
                    t_best = t0
                    p = o + t0 * d
                    normal = wp.transpose(frame) * wp.vec3(p[0], p[1], 0.0)
                elif wp.abs(d[2]) > 1.0e-7:
                    t1 = (-wp.sign(d[2]) - o[2]) / d[2]
                    p1 = o + t1 * d
                    if t1 > 1.0e-4 and t1 < far and p1[0] * p1[0] + p1[1] * p1[1] <= 1.0:
                        t_best = t1
                        row = wp.vec3(frame[2, 0], frame[2, 1], frame[2, 2])
                        normal = -wp.sign(d[2]) * row
    return t_best, normal


@wp.func
@no_type_check
def meet(
    things: wp.array(dtype=Things), node: int, seen: int, ground: int, ground_m: float, start: wp.vec3, way: wp.vec3
):
    """The first thing on a ray.

    Args:
        things: what there is.
        node: of the triangle of the body that comes first on it, or what else `raster.drawn_at` may say.
        seen: its bits tell which solids may be on it at all, see `raycast.Renderer._seen`.
        ground: whether there is a floor.
        ground_m: its height.
        start, way: the ray.
    """
    hit = Hit()
    hit.t = 1.0e6
    hit.kind = 0
    mesh = things[0].singles
    if node == UNSURE:
        mesh = things[0].mesh
        if past_sphere(start, way, things[0].body_center, things[0].body_radius):
            node = NONE
    if node != NONE:
        query = wp.mesh_query_ray(mesh, start, way, 1.0e6, wp.max(node, -1))
        if query.result:
            hit.t = query.t
            hit.kind = 1
            hit.index = query.face
            hit.u = query.u
            hit.v = query.v
            hit.normal = query.normal
    for k in range(things[0].count):
        if (seen & (1 << wp.min(k, 30))) != 0:
            t, normal = meet_solid(things[0].solids, k, start, way, hit.t)
            if t < hit.t:
                hit.t = t
                hit.kind = 2
                hit.index = k
                hit.normal = wp.normalize(normal)
    if ground == 1 and way[2] < -1.0e-6:
        t_ground = (ground_m - start[2]) / way[2]
        if t_ground > 0.0 and t_ground < hit.t:
            hit.t = t_ground
            hit.kind = 3
            hit.index = 0
            hit.normal = wp.vec3(0.0, 0.0, 1.0)
    return hit


@wp.func
@no_type_check
def blocked(things: wp.array(dtype=Things), start: wp.vec3, way: wp.vec3, reach: float):
    if not past_sphere(start, way, things[0].body_center, things[0].body_radius):
        if wp.mesh_query_ray_anyhit(things[0].mesh, start, way, reach):
            return True
    for k in range(things[0].count):
        t, _normal = meet_solid(things[0].solids, k, start, way, reach)
        if t < reach:
            return True
    return False

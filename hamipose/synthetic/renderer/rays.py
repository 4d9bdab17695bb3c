"""Intersection of rays with the surface, solids and the floor, in warp."""

from typing import no_type_check

import warp as wp

from hamipose.synthetic.renderer.raster import NONE, UNSURE

# ruff: noqa: SIM102 - warp evaluates both sides of `and`, so expensive conditions are in an inner `if`.

__all__ = ["Hit", "Occluders", "blocked", "first_hit"]


@wp.struct
@no_type_check
class Occluders:
    """Objects that block rays. Passed as an array of one, because warp copies structures in each call."""

    mesh: wp.uint64
    # the same triangles, each in its own group
    singles: wp.uint64
    # rows: center, three rows of the frame, (kind, radius, material)
    solids: wp.array2d(dtype=wp.vec3)
    count: wp.int32
    body_center: wp.vec3
    body_radius: wp.float32


@wp.struct
@no_type_check
class Hit:
    """The first intersection of a ray."""

    t: wp.float32
    kind: wp.int32  # 0 nothing, 1 body, 2 solid, 3 ground
    index: wp.int32  # triangle or solid
    u: wp.float32
    v: wp.float32
    normal: wp.vec3


@wp.func
@no_type_check
def misses_sphere(start: wp.vec3, direction: wp.vec3, center: wp.vec3, radius: float):
    """Return whether a ray misses a sphere."""
    to = center - start
    along = wp.dot(to, direction)
    return wp.dot(to, to) - along * along > radius * radius or along < -radius


@wp.func
@no_type_check
def hit_solid(solids: wp.array2d(dtype=wp.vec3), k: int, start: wp.vec3, direction: wp.vec3, far: float):
    """Return the distance to a solid (`far` if the ray misses it) and its outward normal, not normalized."""
    t_best = far
    normal = wp.vec3(0.0, 0.0, 0.0)
    center = solids[k, 0]
    if not misses_sphere(start, direction, center, solids[k, 4][1]):
        frame = wp.matrix_from_rows(solids[k, 1], solids[k, 2], solids[k, 3])
        o = frame * (start - center)
        d = frame * direction
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
def first_hit(
    occluders: wp.array(dtype=Occluders),
    node: int,
    solid_bits: int,
    ground: int,
    ground_m: float,
    start: wp.vec3,
    direction: wp.vec3,
):
    """Return the first hit of a ray.

    Args:
        occluders: surface and solids.
        node: node of the first triangle on the ray, or another value of `raster.node_at`.
        solid_bits: bits of the solids that the ray may hit; see `raycast.Renderer`.
        ground: whether the scene has a floor.
        ground_m: height of the floor.
        start: start of the ray.
        direction: unit direction of the ray.
    """
    hit = Hit()
    hit.t = 1.0e6
    hit.kind = 0
    mesh = occluders[0].singles
    if node == UNSURE:
        mesh = occluders[0].mesh
        if misses_sphere(start, direction, occluders[0].body_center, occluders[0].body_radius):
            node = NONE
    if node != NONE:
        query = wp.mesh_query_ray(mesh, start, direction, 1.0e6, wp.max(node, -1))
        if query.result:
            hit.t = query.t
            hit.kind = 1
            hit.index = query.face
            hit.u = query.u
            hit.v = query.v
            hit.normal = query.normal
    for k in range(occluders[0].count):
        if (solid_bits & (1 << wp.min(k, 30))) != 0:
            t, normal = hit_solid(occluders[0].solids, k, start, direction, hit.t)
            if t < hit.t:
                hit.t = t
                hit.kind = 2
                hit.index = k
                hit.normal = wp.normalize(normal)
    if ground == 1 and direction[2] < -1.0e-6:
        t_ground = (ground_m - start[2]) / direction[2]
        if t_ground > 0.0 and t_ground < hit.t:
            hit.t = t_ground
            hit.kind = 3
            hit.index = 0
            hit.normal = wp.vec3(0.0, 0.0, 1.0)
    return hit


@wp.func
@no_type_check
def blocked(occluders: wp.array(dtype=Occluders), start: wp.vec3, direction: wp.vec3, reach: float):
    """Return whether an object blocks a ray within a distance."""
    if not misses_sphere(start, direction, occluders[0].body_center, occluders[0].body_radius):
        if wp.mesh_query_ray_anyhit(occluders[0].mesh, start, direction, reach):
            return True
    for k in range(occluders[0].count):
        t, _normal = hit_solid(occluders[0].solids, k, start, direction, reach)
        if t < reach:
            return True
    return False

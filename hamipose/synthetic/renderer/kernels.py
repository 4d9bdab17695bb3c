"""Shading and whole pictures, run by warp on a processor or a GPU. Imported only where something is rendered.

``no_type_check`` keeps run-time type checkers away from functions that warp compiles and Python never runs.
"""

from typing import no_type_check

import warp as wp

from hamipose.synthetic.renderer.raster import NONE, UNSURE, drawn_at
from hamipose.synthetic.renderer.rays import Hit, Things, blocked, meet
from hamipose.synthetic.renderer.textures import pattern_share, worn

__all__ = ["Things", "World", "first_hits", "render"]


# Sums may be reordered and divisions become products: a fifth quicker on a processor, and one pixel in 1000 is another
# shade (`benchmarks/results/render.md`). `raster`, whose claims rest on rounding, is compiled as it is written.
_QUICK = f"{wp.config.cpu_compiler_flags or '-march=native'} -ffast-math -Wno-nan-infinity-disabled"
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": _QUICK})


@wp.struct
@no_type_check
class World:
    """Everything a picture shows; see `scene.Scene` for units and meaning. Handed on like `rays.Things`."""

    things: wp.array(dtype=Things)
    face_part: wp.array(dtype=wp.int32)
    # rows: normal, place on the cloth, (along the limb, hairline, blotch)
    vertices: wp.array2d(dtype=wp.vec3)
    wardrobe: wp.array(dtype=wp.float32)
    # rows: first color, second color, (scale, gloss, noise), (pattern, -, -)
    materials: wp.array2d(dtype=wp.vec3)
    # rows: towards, color, (spread, -, -)
    lights: wp.array2d(dtype=wp.vec3)
    light_count: wp.int32
    sky: wp.vec3
    floor: wp.vec3
    shade_m: wp.float32
    ground: wp.int32
    ground_m: wp.float32
    ground_material: wp.int32
    eye: wp.vec3
    axes: wp.mat33
    focal_px: wp.float32
    height: wp.int32
    width: wp.int32
    seed: wp.int32


@wp.func
@no_type_check
def same_surface(world: wp.array(dtype=World), a: Hit, b: Hit):
    """Whether two neighboring rays meet one smooth surface, so that one of them may be shaded for both."""
    if a.kind == 0 and b.kind == 0:
        return True
    if a.kind != b.kind or wp.dot(a.normal, b.normal) < 0.8:
        return False
    if a.kind == 1:
        return world[0].face_part[a.index] == world[0].face_part[b.index] and wp.abs(a.t - b.t) < 0.05
    return a.index == b.index


@wp.func
@no_type_check
def in_ball(draw: wp.uint32):
    """A point drawn evenly from the unit ball, by trial, which is quicker than by angles; and the next state."""
    point = wp.vec3(2.0, 0.0, 0.0)
    while wp.dot(point, point) > 1.0:
        point = 2.0 * wp.vec3(wp.randf(draw), wp.randf(draw), wp.randf(draw)) - wp.vec3(1.0, 1.0, 1.0)
    return point, draw


@wp.func
@no_type_check
def color_at(world: wp.array(dtype=World), hit: Hit, start: wp.vec3, way: wp.vec3, draw: wp.uint32):
    """Light that reaches the eye from a point of a surface, linear RGB."""
    p = start + way * hit.t
    normal = hit.normal
    material = 0
    q = wp.vec3(p[0], 0.0, p[1])
    tone = 1.0
    if hit.kind == 1:
        a = wp.mesh_get_index(world[0].things[0].mesh, hit.index * 3)
        b = wp.mesh_get_index(world[0].things[0].mesh, hit.index * 3 + 1)
        c = wp.mesh_get_index(world[0].things[0].mesh, hit.index * 3 + 2)
        wc = 1.0 - hit.u - hit.v
        v = world[0].vertices
        q = v[a, 1] * hit.u + v[b, 1] * hit.v + v[c, 1] * wc
        f = v[a, 2] * hit.u + v[b, 2] * hit.v + v[c, 2] * wc
        material = worn(world[0].wardrobe, world[0].face_part[hit.index], f[0], f[1], q)
        smooth = v[a, 0] * hit.u + v[b, 0] * hit.v + v[c, 0] * wc
        normal = wp.normalize(smooth)
        if wp.dot(normal, way) > 0.0:
            normal = hit.normal
        tone = 1.0 + f[2]
    elif hit.kind == 2:
        k = hit.index
        solids = world[0].things[0].solids
        material = int(solids[k, 4][2])
        r0 = wp.normalize(solids[k, 1])
        r1 = wp.normalize(solids[k, 2])
        r2 = wp.normalize(solids[k, 3])
        local = p - solids[k, 0]
        q = wp.vec3(wp.dot(local, r0), wp.dot(local, r1), wp.dot(local, r2))
        if solids[k, 4][0] == 0.0:
            if wp.abs(wp.dot(normal, r0)) > 0.9:
                q = wp.vec3(q[1], q[0], q[2])
            elif wp.abs(wp.dot(normal, r2)) > 0.9:
                q = wp.vec3(q[0], q[2], q[1])
        else:
            q = wp.vec3(q[0] + q[1], q[1], q[2])
    else:
        material = world[0].ground_material
    finish = world[0].materials[material, 2]
    share = pattern_share(int(world[0].materials[material, 3][0]), q, finish[0], world[0].seed + material)
    albedo = world[0].materials[material, 0] * (1.0 - share) + world[0].materials[material, 1] * share
    if finish[2] > 0.0:
        rough = 3.4 * (wp.randf(draw) - 0.5)
        if hit.kind == 1:
            rough = 0.7 * rough + wp.noise(wp.uint32(world[0].seed), q * 55.0)
        tone += finish[2] * rough
    albedo = albedo * wp.max(tone, 0.1)

    lift = p + normal * 2.0e-3
    up = 0.5 + 0.5 * normal[2]
    ambient = world[0].sky * up + world[0].floor * (1.0 - up)
    near = wp.length(p - world[0].things[0].body_center) < world[0].things[0].body_radius
    if world[0].shade_m > 0.0 and near:
        point, draw = in_ball(draw)
        sample = wp.normalize(normal + wp.normalize(point) * 0.98)
        if blocked(world[0].things, lift, sample, world[0].shade_m):
            ambient = ambient * 0.3
    out = wp.cw_mul(albedo, ambient)
    for i in range(world[0].light_count):
        towards = world[0].lights[i, 0]
        if world[0].lights[i, 2][0] > 0.0:
            point, draw = in_ball(draw)
            towards += point * world[0].lights[i, 2][0]
        towards = wp.normalize(towards)
        facing = wp.dot(normal, towards)
        if facing > 0.0:  # noqa: SIM102 - see `rays`
            if not blocked(world[0].things, lift, towards, 50.0):
                out += wp.cw_mul(albedo, world[0].lights[i, 1]) * facing
                if finish[1] > 0.0:
                    half = wp.normalize(towards - way)
                    shine = wp.max(wp.dot(normal, half), 0.0)
                    shine2 = shine * shine
                    shine6 = shine2 * shine2 * shine2
                    shine30 = shine6 * shine6 * shine6 * shine6 * shine6
                    out += world[0].lights[i, 1] * (finish[1] * shine30)
    return out


@wp.func
@no_type_check
def look(world: wp.array(dtype=World), far: wp.vec3, hit: Hit, way: wp.vec3, number: int):
    """Light along one ray."""
    if hit.kind == 0:
        return far
    return color_at(world, hit, world[0].eye, way, wp.rand_init(world[0].seed, number))


@wp.kernel
@no_type_check
def render(
    world: wp.array(dtype=World),
    far: wp.array2d(dtype=wp.vec3),
    seen: wp.array2d(dtype=wp.int32),
    nearest: wp.array2d(dtype=wp.int64),
    unsure: wp.array2d(dtype=wp.uint8),
    image: wp.array2d(dtype=wp.vec3),
    mask: wp.array2d(dtype=wp.float32),
):
    """One pixel: the mean of 2×2 rays, the second diagonal cast at edges only.

    The bits of `seen` tell what may be seen there at all.
    """
    i, j = wp.tid()
    here = seen[i, j]
    back = far[i, j]
    node0 = drawn_at(nearest, unsure, i * 2, j * 2)
    node3 = drawn_at(nearest, unsure, i * 2 + 1, j * 2 + 1)
    if here == 0 and node0 == NONE and node3 == NONE and world[0].ground == 0:
        image[i, j] = back
        mask[i, j] = 0.0
        return
    x = float(j) - 0.5 * float(world[0].width - 1)
    y = float(i) - 0.5 * float(world[0].height - 1)
    corner = wp.vec3(x, y, world[0].focal_px)
    axes = wp.transpose(world[0].axes)
    way0 = wp.normalize(axes * (corner + wp.vec3(-0.25, -0.25, 0.0)))
    way3 = wp.normalize(axes * (corner + wp.vec3(0.25, 0.25, 0.0)))
    hit0 = meet(world[0].things, node0, here, world[0].ground, world[0].ground_m, world[0].eye, way0)
    hit3 = meet(world[0].things, node3, here, world[0].ground, world[0].ground_m, world[0].eye, way3)
    number = (i * world[0].width + j) * 4
    light0 = look(world, back, hit0, way0, number)
    light3 = light0
    light1 = light0
    light2 = light0
    share = 0.0
    if hit0.kind == 1:
        share += 0.25
    if hit3.kind == 1:
        share += 0.25
    if same_surface(world, hit0, hit3):
        # Where the rays of one diagonal meet one smooth surface, so do those of the other.
        share *= 2.0
        if hit0.kind == 1 and world[0].shade_m == 0.0:
            light3 = look(world, back, hit3, way3, number + 3)
            light2 = light3
    else:
        light3 = look(world, back, hit3, way3, number + 3)
        way1 = wp.normalize(axes * (corner + wp.vec3(0.25, -0.25, 0.0)))
        way2 = wp.normalize(axes * (corner + wp.vec3(-0.25, 0.25, 0.0)))
        node1 = drawn_at(nearest, unsure, i * 2, j * 2 + 1)
        hit1 = meet(world[0].things, node1, here, world[0].ground, world[0].ground_m, world[0].eye, way1)
        node2 = drawn_at(nearest, unsure, i * 2 + 1, j * 2)
        hit2 = meet(world[0].things, node2, here, world[0].ground, world[0].ground_m, world[0].eye, way2)
        if not same_surface(world, hit1, hit0):
            light1 = light3
            if not same_surface(world, hit1, hit3):
                light1 = look(world, back, hit1, way1, number + 1)
        light2 = light3
        if not same_surface(world, hit2, hit3):
            light2 = light0
            if not same_surface(world, hit2, hit0):
                light2 = look(world, back, hit2, way2, number + 2)
        if hit1.kind == 1:
            share += 0.25
        if hit2.kind == 1:
            share += 0.25
    image[i, j] = 0.25 * (light0 + light1 + light2 + light3)
    mask[i, j] = share


@wp.kernel
@no_type_check
def first_hits(
    world: wp.array(dtype=World),
    points: wp.array(dtype=wp.vec3),
    distance: wp.array(dtype=wp.float32),
    part: wp.array(dtype=wp.int32),
):
    """What the ray from the eye to each point meets first: how far it is, and which part of the body (-1: not body)."""
    i = wp.tid()
    way = wp.normalize(points[i] - world[0].eye)
    hit = meet(world[0].things, UNSURE, -1, world[0].ground, world[0].ground_m, world[0].eye, way)
    distance[i] = hit.t
    part[i] = -1
    if hit.kind == 1:
        part[i] = world[0].face_part[hit.index]

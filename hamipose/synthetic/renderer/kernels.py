"""Shading and rendering of images, run by warp on a CPU or a GPU. Import it only for rendering.

``no_type_check`` disables run-time type checks in functions that warp compiles and Python never runs.
"""

from typing import no_type_check

import warp as wp

from hamipose.synthetic.renderer.raster import NONE, UNSURE, node_at
from hamipose.synthetic.renderer.rays import Hit, Occluders, blocked, first_hit
from hamipose.synthetic.renderer.textures import outfit_material, pattern_share

__all__ = ["Occluders", "World", "first_hits", "render"]


# Fast math, which reorders sums and replaces divisions by products: 20 % faster on a CPU; one pixel in 1000 changes
# (`benchmarks/results/render.md`). `raster` depends on exact rounding and is compiled without it.
_FAST_MATH = f"{wp.config.cpu_compiler_flags or '-march=native'} -ffast-math -Wno-nan-infinity-disabled"
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": _FAST_MATH})


@wp.struct
@no_type_check
class World:
    """Content of an image; see `scene.Scene` for units and meaning. Passed like `rays.Occluders`."""

    occluders: wp.array(dtype=Occluders)
    face_part: wp.array(dtype=wp.int32)
    # rows: normal, cloth coordinates, (position along the limb, hairline, blotch)
    vertices: wp.array2d(dtype=wp.vec3)
    outfit: wp.array(dtype=wp.float32)
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
    """Return whether two neighboring rays hit one smooth surface, so that shading one of them is sufficient."""
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
    """Draw a uniform point of the unit ball by rejection, which is faster than by angles, and the next state."""
    point = wp.vec3(2.0, 0.0, 0.0)
    while wp.dot(point, point) > 1.0:
        point = 2.0 * wp.vec3(wp.randf(draw), wp.randf(draw), wp.randf(draw)) - wp.vec3(1.0, 1.0, 1.0)
    return point, draw


@wp.func
@no_type_check
def color_at(world: wp.array(dtype=World), hit: Hit, start: wp.vec3, direction: wp.vec3, draw: wp.uint32):
    """Return the light from a hit to the camera, in linear RGB."""
    p = start + direction * hit.t
    normal = hit.normal
    material = 0
    q = wp.vec3(p[0], 0.0, p[1])
    tone = 1.0
    if hit.kind == 1:
        a = wp.mesh_get_index(world[0].occluders[0].mesh, hit.index * 3)
        b = wp.mesh_get_index(world[0].occluders[0].mesh, hit.index * 3 + 1)
        c = wp.mesh_get_index(world[0].occluders[0].mesh, hit.index * 3 + 2)
        wc = 1.0 - hit.u - hit.v
        v = world[0].vertices
        q = v[a, 1] * hit.u + v[b, 1] * hit.v + v[c, 1] * wc
        f = v[a, 2] * hit.u + v[b, 2] * hit.v + v[c, 2] * wc
        material = outfit_material(world[0].outfit, world[0].face_part[hit.index], f[0], f[1], q)
        smooth = v[a, 0] * hit.u + v[b, 0] * hit.v + v[c, 0] * wc
        normal = wp.normalize(smooth)
        if wp.dot(normal, direction) > 0.0:
            normal = hit.normal
        tone = 1.0 + f[2]
    elif hit.kind == 2:
        k = hit.index
        solids = world[0].occluders[0].solids
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
    near = wp.length(p - world[0].occluders[0].body_center) < world[0].occluders[0].body_radius
    if world[0].shade_m > 0.0 and near:
        point, draw = in_ball(draw)
        sample = wp.normalize(normal + wp.normalize(point) * 0.98)
        if blocked(world[0].occluders, lift, sample, world[0].shade_m):
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
            if not blocked(world[0].occluders, lift, towards, 50.0):
                out += wp.cw_mul(albedo, world[0].lights[i, 1]) * facing
                if finish[1] > 0.0:
                    half = wp.normalize(towards - direction)
                    shine = wp.max(wp.dot(normal, half), 0.0)
                    shine2 = shine * shine
                    shine6 = shine2 * shine2 * shine2
                    shine30 = shine6 * shine6 * shine6 * shine6 * shine6
                    out += world[0].lights[i, 1] * (finish[1] * shine30)
    return out


@wp.func
@no_type_check
def trace(world: wp.array(dtype=World), background: wp.vec3, hit: Hit, direction: wp.vec3, number: int):
    """Return the light along one ray."""
    if hit.kind == 0:
        return background
    return color_at(world, hit, world[0].eye, direction, wp.rand_init(world[0].seed, number))


@wp.kernel
@no_type_check
def render(
    world: wp.array(dtype=World),
    background: wp.array2d(dtype=wp.vec3),
    solid_bits: wp.array2d(dtype=wp.int32),
    nearest: wp.array2d(dtype=wp.int64),
    unsure: wp.array2d(dtype=wp.uint8),
    image: wp.array2d(dtype=wp.vec3),
    mask: wp.array2d(dtype=wp.float32),
):
    """Render one pixel as the mean of 2×2 rays; the second diagonal is traced at edges only.

    The bits of `solid_bits` are the solids that the pixel may show.
    """
    i, j = wp.tid()
    here = solid_bits[i, j]
    back = background[i, j]
    node0 = node_at(nearest, unsure, i * 2, j * 2)
    node3 = node_at(nearest, unsure, i * 2 + 1, j * 2 + 1)
    if here == 0 and node0 == NONE and node3 == NONE and world[0].ground == 0:
        image[i, j] = back
        mask[i, j] = 0.0
        return
    x = float(j) - 0.5 * float(world[0].width - 1)
    y = float(i) - 0.5 * float(world[0].height - 1)
    corner = wp.vec3(x, y, world[0].focal_px)
    axes = wp.transpose(world[0].axes)
    direction0 = wp.normalize(axes * (corner + wp.vec3(-0.25, -0.25, 0.0)))
    direction3 = wp.normalize(axes * (corner + wp.vec3(0.25, 0.25, 0.0)))
    hit0 = first_hit(world[0].occluders, node0, here, world[0].ground, world[0].ground_m, world[0].eye, direction0)
    hit3 = first_hit(world[0].occluders, node3, here, world[0].ground, world[0].ground_m, world[0].eye, direction3)
    number = (i * world[0].width + j) * 4
    light0 = trace(world, back, hit0, direction0, number)
    light3 = light0
    light1 = light0
    light2 = light0
    share = 0.0
    if hit0.kind == 1:
        share += 0.25
    if hit3.kind == 1:
        share += 0.25
    if same_surface(world, hit0, hit3):
        # If the rays of one diagonal hit one smooth surface, those of the other diagonal hit it, too.
        share *= 2.0
        if hit0.kind == 1 and world[0].shade_m == 0.0:
            light3 = trace(world, back, hit3, direction3, number + 3)
            light2 = light3
    else:
        light3 = trace(world, back, hit3, direction3, number + 3)
        direction1 = wp.normalize(axes * (corner + wp.vec3(0.25, -0.25, 0.0)))
        direction2 = wp.normalize(axes * (corner + wp.vec3(-0.25, 0.25, 0.0)))
        node1 = node_at(nearest, unsure, i * 2, j * 2 + 1)
        hit1 = first_hit(world[0].occluders, node1, here, world[0].ground, world[0].ground_m, world[0].eye, direction1)
        node2 = node_at(nearest, unsure, i * 2 + 1, j * 2)
        hit2 = first_hit(world[0].occluders, node2, here, world[0].ground, world[0].ground_m, world[0].eye, direction2)
        if not same_surface(world, hit1, hit0):
            light1 = light3
            if not same_surface(world, hit1, hit3):
                light1 = trace(world, back, hit1, direction1, number + 1)
        light2 = light3
        if not same_surface(world, hit2, hit3):
            light2 = light0
            if not same_surface(world, hit2, hit0):
                light2 = trace(world, back, hit2, direction2, number + 2)
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
    """Find distance and body part (-1: none) of the first hit of the ray from the camera to each point."""
    i = wp.tid()
    direction = wp.normalize(points[i] - world[0].eye)
    hit = first_hit(world[0].occluders, UNSURE, -1, world[0].ground, world[0].ground_m, world[0].eye, direction)
    distance[i] = hit.t
    part[i] = -1
    if hit.kind == 1:
        part[i] = world[0].face_part[hit.index]

"""Patterns of materials, and which garment covers which part of the body. For warp, like `kernels`."""

from typing import no_type_check

import warp as wp

__all__ = ["pattern_share", "worn"]


@wp.func
@no_type_check
def fraction(x: float):
    return x - wp.floor(x)


@wp.func
@no_type_check
def cell_random(i: float, j: float):
    return fraction(wp.sin(i * 12.9898 + j * 78.233) * 43758.547)


@wp.func
@no_type_check
def pattern_share(kind: int, q: wp.vec3, scale: float, seed: int):
    """Share of the second colour at a point of the surface; q[0] and q[2] run along it, in metres."""
    x = q[0] * scale
    z = q[2] * scale
    share = 0.0
    if kind == 1:
        share = wp.where(fraction(z) > 0.5, 1.0, 0.0)
    elif kind == 2:
        share = wp.where(fraction(x) > 0.5, 1.0, 0.0)
    elif kind == 3:
        share = wp.where(fraction(0.5 * (wp.floor(x) + wp.floor(z))) > 0.25, 1.0, 0.0)
    elif kind == 4:
        dx = fraction(x) - 0.5
        dz = fraction(z + 0.5 * wp.floor(x)) - 0.5
        share = wp.where(dx * dx + dz * dz < 0.07, 1.0, 0.0)
    elif kind == 5:
        share = wp.where(wp.noise(wp.uint32(seed), q * scale) > 0.02, 1.0, 0.0)
    elif kind == 6:
        share = 0.5 * wp.where(fraction(z) > 0.62, 1.0, 0.0) + 0.5 * wp.where(fraction(x) > 0.62, 1.0, 0.0)
    elif kind == 7:
        row = wp.floor(x)
        shift = z * 0.16 + cell_random(row, 3.0)
        share = 0.75 * cell_random(row, wp.floor(shift))
        if fraction(x) < 0.05 or fraction(shift) < 0.012:
            share = 1.0
    elif kind == 8:
        row = wp.floor(z)
        shift = 0.5 * x + 0.5 * fraction(0.5 * row)
        share = 0.45 * cell_random(row, wp.floor(shift))
        if fraction(z) < 0.12 or fraction(shift) < 0.06:
            share = 1.0
    elif kind == 9:
        share = 0.5 + 0.6 * wp.noise(wp.uint32(seed), q * scale) + 0.35 * wp.noise(wp.uint32(seed), q * (3.7 * scale))
    elif kind == 10:
        share = wp.where(wp.noise(wp.uint32(seed), q * scale) > 0.28, 1.0, 0.0)
    return wp.clamp(share, 0.0, 1.0)


@wp.func
@no_type_check
def worn(w: wp.array(dtype=wp.float32), part: int, along: float, hair: float):
    """Which material covers a point of the body. Parts as in `bodies.PARTS`, settings as in `outfits.SETTINGS`."""
    slot = 0
    if part == 0:
        if along < w[12]:
            slot = 2
        if along > w[10] and along < w[11]:
            slot = 1
    elif part == 1:
        if hair > w[15]:
            slot = 4
    elif part == 2:
        slot = 5
    elif part <= 8:
        if along < w[8]:
            slot = 1
    else:
        if along < w[9]:
            slot = 2
        if along < w[16]:
            slot = 1
        if along > w[14]:
            slot = 6
        if along > w[13]:
            slot = 3
    return int(w[slot])

"""Patterns of materials, and the materials of an outfit, in warp."""

from typing import no_type_check

import warp as wp

__all__ = ["outfit_material", "pattern_share"]


@wp.func
@no_type_check
def fraction(x: float):
    """Return the fractional part."""
    return x - wp.floor(x)


@wp.func
@no_type_check
def cell_random(i: float, j: float):
    """Return a pseudorandom number of a cell of a grid."""
    return fraction(wp.sin(i * 12.9898 + j * 78.233) * 43758.547)


@wp.func
@no_type_check
def pattern_share(kind: int, q: wp.vec3, scale: float, seed: int):
    """Return the share of the second color at a point; q[0] and q[2] run along the surface, in meters."""
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
def outfit_material(w: wp.array(dtype=wp.float32), part: int, along: float, hair: float, q: wp.vec3):
    """Return the material of a point of the surface.

    Parts are those of `body_model.PARTS`, and w is a vector of `clothing.OUTFIT_FIELDS`. On trunk and head, q is the
    point on the body at rest in meters: to its left, to the back, up.
    """
    slot = 0
    aside = wp.abs(q[0])
    if part == 0:
        if along < w[12]:
            slot = 2
            if q[1] > 0.03 and wp.max(wp.abs(aside - 0.075), wp.abs(q[2])) < w[35]:
                slot = 21
        neckline = w[11]
        if q[1] < -0.02:
            neckline -= w[22] * wp.max(1.0 - aside / 0.09, 0.0)
        if along > w[10] and along < neckline:
            slot = 1
            if q[1] < -0.02:
                if aside < w[29] and along > w[30] and along < w[31]:
                    slot = 17
                if aside < w[23]:
                    slot = 7
            elif aside < w[32] and along > w[33] and along < w[34]:
                slot = 18
    elif part == 1:
        above_eye = q[2] - w[28]
        if hair > w[15]:
            slot = 4
        elif q[1] < w[27] + 0.06:
            if w[24] > 0.5 and above_eye < -0.045 and above_eye > -0.115:
                slot = 4
            if wp.abs(above_eye + 0.066) < 0.008 and aside < 0.026:
                slot = 19
            if wp.abs(above_eye - 0.018) < 0.006 and wp.abs(aside - w[26]) < 0.019:
                slot = 4
        if hair > w[25]:
            slot = 37
    elif part == 2:
        slot = 5
        if wp.length(wp.vec2(aside - w[26], q[2] - w[28])) > 0.0055:
            slot = 20
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
            if q[1] < w[36]:
                slot = 20
    return int(w[slot])

"""Triangles are drawn where rays meet them, and where rounding could decide, nothing is claimed."""

import numpy as np
import pytest

from hamipose.geometry.warp_runtime import initialize_warp
from hamipose.synthetic.people.bodies import bodies_for
from hamipose.synthetic.people.sample import LOOKS, picture_person
from hamipose.synthetic.renderer.raycast import renderer

SIDE = 12


def drawn(*triangles):
    """What `raster.drawn_at` says at each sample of triangles given by (column, row, one over the depth)."""
    wp = initialize_warp()
    from hamipose.synthetic.renderer import raster

    points = np.array(triangles, np.float32).reshape(-1, 3)
    nearest = wp.zeros((SIDE, SIDE), dtype=wp.int64, device="cpu")
    unsure = wp.zeros((SIDE, SIDE), dtype=wp.uint8, device="cpu")
    indices = wp.array(np.arange(len(points), dtype=np.int32), device="cpu")
    nodes = wp.array(100 + np.arange(len(triangles), dtype=np.int32), device="cpu")
    inputs = [indices, nodes, wp.array(points, dtype=wp.vec3, device="cpu"), nearest, unsure]
    wp.launch(raster.draw, dim=len(triangles), inputs=inputs, device="cpu")
    key = nearest.numpy()
    return np.where(unsure.numpy() > 0, -2, np.where(key == 0, -1, key & 0x7FFFFFFF))


def reference_inside(triangle):
    """How far each sample lies inside of the nearest side, negative outside, in double precision."""
    corners = np.array(triangle, float)[:, :2]
    (ax, ay), (bx, by), (cx, cy) = corners
    if (bx - ax) * (cy - ay) < (by - ay) * (cx - ax):
        corners = corners[[0, 2, 1]]
    y, x = np.mgrid[:SIDE, :SIDE]
    off = []
    for (px, py), (qx, qy) in zip(corners, np.roll(corners, -1, 0), strict=True):
        off.append(((qx - px) * (y - py) - (qy - py) * (x - px)) / np.hypot(qx - px, qy - py))
    return np.min(off, 0)


def test_a_triangle_is_drawn_where_it_is():
    rng = np.random.default_rng(0)
    for _ in range(200):
        triangle = np.column_stack([rng.uniform(-4, SIDE + 4, (3, 2)), rng.uniform(0.2, 2.0, 3)])
        found, inside = drawn(triangle), reference_inside(triangle)
        assert (found[inside > 0.02] == 100).all()
        assert (found[inside < -0.02] == -1).all()


def test_the_nearer_triangle_is_in_front_whichever_comes_first():
    far, near = [(1, 1, 0.5), (10, 1, 0.5), (1, 10, 0.5)], [(1, 1, 0.6), (10, 1, 0.6), (1, 10, 0.6)]
    assert drawn(far, near)[3, 3] == 101
    assert drawn(near, far)[3, 3] == 100
    tilted = [(1, 1, 0.4), (10, 1, 0.8), (1, 10, 0.4)]  # passes through `far`
    assert drawn(far, tilted)[3, 2] == 100
    assert drawn(far, tilted)[3, 7] == 101


def test_where_rounding_decides_nothing_is_claimed():
    half = [(2, 2, 1.0), (8, 2, 1.0), (2, 8, 1.0)]
    found = drawn(half)
    assert (found[2, 3:8] == -2).all()  # samples on a side
    assert found[5, 5] == -2
    assert found[3, 3] == 100
    close = [(2, 2, 1.00001), (8, 2, 1.00001), (2, 8, 1.00001)]
    assert drawn(half, close)[3, 3] == -2
    assert drawn(close, half)[3, 3] == -2
    before = [(2, 2, 1.5), (8, 2, 1.5), (2, 8, 1.5)]  # a third one hides both
    assert drawn(before, half, close)[3, 3] == 100
    line = [(1, 3, 1.0), (5, 3, 1.0), (9, 3, 1.0)]
    assert (drawn(line)[3, 1:10] == -2).all()


@pytest.mark.parametrize("look", LOOKS)
def test_nearly_all_rays_are_spared(look):
    """Otherwise the drawing would be right and useless."""
    sure = []
    for index in range(4):
        person = picture_person(look, index, size=128, device="cpu")
        caster = renderer("cpu", bodies_for(128))
        caster.load(person.scene)
        nearest, unsure = caster._drawn()
        sure.append(1 - unsure.numpy().sum() / max((nearest.numpy() > 0).sum(), 1))
    assert np.mean(sure) > 0.9

"""Rasterization agrees with ray hits, and marks samples where rounding may decide."""

import numpy as np
import pytest

from hamipose.synthetic.people.coarse_body import body_model_for
from hamipose.synthetic.people.sample import render_person
from hamipose.synthetic.renderer.raycast import get_renderer
from hamipose.synthetic.scene.appearance import STYLES
from hamipose.synthetic.warp_runtime import initialize_warp

SIDE = 12


def rasterize(*triangles):
    """Return the nodes of all samples for triangles given by (column, row, inverse depth)."""
    wp = initialize_warp()
    from hamipose.synthetic.renderer import raster

    points = np.array(triangles, np.float32).reshape(-1, 3)
    nearest = wp.zeros((SIDE, SIDE), dtype=wp.int64, device="cpu")
    unsure = wp.zeros((SIDE, SIDE), dtype=wp.uint8, device="cpu")
    indices = wp.array(np.arange(len(points), dtype=np.int32), device="cpu")
    nodes = wp.array(100 + np.arange(len(triangles), dtype=np.int32), device="cpu")
    inputs = [indices, nodes, wp.array(points, dtype=wp.vec3, device="cpu"), nearest, unsure]
    wp.launch(raster.rasterize, dim=len(triangles), inputs=inputs, device="cpu")
    key = nearest.numpy()
    return np.where(unsure.numpy() > 0, -2, np.where(key == 0, -1, key & 0x7FFFFFFF))


def reference_inside(triangle):
    """Return the distance of each sample from the nearest side, negative outside, in double precision."""
    corners = np.array(triangle, float)[:, :2]
    (ax, ay), (bx, by), (cx, cy) = corners
    if (bx - ax) * (cy - ay) < (by - ay) * (cx - ax):
        corners = corners[[0, 2, 1]]
    y, x = np.mgrid[:SIDE, :SIDE]
    off = []
    for (px, py), (qx, qy) in zip(corners, np.roll(corners, -1, 0), strict=True):
        off.append(((qx - px) * (y - py) - (qy - py) * (x - px)) / np.hypot(qx - px, qy - py))
    return np.min(off, 0)


def test_triangle_covers_the_correct_samples():
    rng = np.random.default_rng(0)
    for _ in range(200):
        triangle = np.column_stack([rng.uniform(-4, SIDE + 4, (3, 2)), rng.uniform(0.2, 2.0, 3)])
        found, inside = rasterize(triangle), reference_inside(triangle)
        assert (found[inside > 0.02] == 100).all()
        assert (found[inside < -0.02] == -1).all()


def test_nearer_triangle_is_in_front_in_any_order():
    far, near = [(1, 1, 0.5), (10, 1, 0.5), (1, 10, 0.5)], [(1, 1, 0.6), (10, 1, 0.6), (1, 10, 0.6)]
    assert rasterize(far, near)[3, 3] == 101
    assert rasterize(near, far)[3, 3] == 100
    tilted = [(1, 1, 0.4), (10, 1, 0.8), (1, 10, 0.4)]  # passes through `far`
    assert rasterize(far, tilted)[3, 2] == 100
    assert rasterize(far, tilted)[3, 7] == 101


def test_samples_decided_by_rounding_are_marked():
    half = [(2, 2, 1.0), (8, 2, 1.0), (2, 8, 1.0)]
    found = rasterize(half)
    assert (found[2, 3:8] == -2).all()  # samples on a side
    assert found[5, 5] == -2
    assert found[3, 3] == 100
    close = [(2, 2, 1.00001), (8, 2, 1.00001), (2, 8, 1.00001)]
    assert rasterize(half, close)[3, 3] == -2
    assert rasterize(close, half)[3, 3] == -2
    before = [(2, 2, 1.5), (8, 2, 1.5), (2, 8, 1.5)]  # hides both
    assert rasterize(before, half, close)[3, 3] == 100
    line = [(1, 3, 1.0), (5, 3, 1.0), (9, 3, 1.0)]
    assert (rasterize(line)[3, 1:10] == -2).all()


@pytest.mark.parametrize("style", STYLES)
def test_nearly_all_rays_need_no_tracing(style):
    """Check that rasterization saves time."""
    sure = []
    for index in range(4):
        person = render_person(style, index, size=128, device="cpu")
        renderer = get_renderer("cpu", body_model_for(128))
        renderer.load(person.scene)
        nearest, unsure = renderer._rasterize()
        sure.append(1 - unsure.numpy().sum() / max((nearest.numpy() > 0).sum(), 1))
    assert np.mean(sure) > 0.9

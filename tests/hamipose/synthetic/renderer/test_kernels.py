"""Random points of the unit ball, which soft light and ambient occlusion use."""

import numpy as np
import pytest

from hamipose.synthetic.warp_runtime import initialize_warp

COUNT = 20000


@pytest.fixture(scope="module")
def samples():
    """Draw two consecutive points from each of many states."""
    wp = initialize_warp()
    from hamipose.synthetic.renderer.kernels import in_ball

    @wp.kernel(module="unique")
    def draw_two(first: wp.array(dtype=wp.vec3), second: wp.array(dtype=wp.vec3)):
        i = wp.tid()
        state = wp.rand_init(7, i)
        point, state = in_ball(state)
        other, state = in_ball(state)
        first[i] = point
        second[i] = other

    out = [wp.empty(COUNT, dtype=wp.vec3, device="cpu") for _ in range(2)]
    wp.launch(draw_two, dim=COUNT, outputs=out, device="cpu")
    return [array.numpy() for array in out]


def test_points_are_uniform_in_the_ball(samples):
    for points in samples:
        radius = np.linalg.norm(points, axis=1)
        assert radius.max() <= 1.0
        for share in (0.2, 0.5, 0.8):  # of the volume
            assert (radius < share ** (1 / 3)).mean() == pytest.approx(share, abs=0.015)
        np.testing.assert_allclose(points.mean(0), 0, atol=0.015)
        np.testing.assert_allclose(points.T @ points / COUNT, np.eye(3) / 5, atol=0.01)


def test_consecutive_points_are_uncorrelated(samples):
    first, second = samples
    np.testing.assert_allclose(first.T @ second / COUNT, 0, atol=0.01)

"""read_rows against grid_sample, through the function that chooses between them."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamipose import affine, bilinear
from hamipose.affine import augment_matrix, warp_heatmaps

views = st.builds(
    augment_matrix,
    st.just(96),
    st.floats(-180, 180),
    st.floats(0.3, 3.0),
    st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
    st.booleans(),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)


@pytest.fixture(autouse=True, scope="module")
def small_maps_too():
    with pytest.MonkeyPatch.context() as replace:
        replace.setattr(affine, "CELLS", 0)
        yield


def matrices(views):
    return torch.from_numpy(np.stack(views)).float()


def both(heatmaps, matrix, mirrored=None, mirror=None):
    """By rows, and by grid_sample, which gradients call for."""
    mirrored = torch.zeros(len(heatmaps), dtype=torch.bool) if mirrored is None else mirrored
    mirror = list(range(heatmaps.shape[1])) if mirror is None else mirror
    with patch.object(affine, "read_rows", wraps=bilinear.read_rows) as reading:
        rows = warp_heatmaps(heatmaps, matrix, mirrored, mirror)
    assert reading.called == (min(heatmaps.shape[2:]) > 1)
    sampled = warp_heatmaps(heatmaps.clone().requires_grad_(), matrix, mirrored, mirror)
    assert sampled[0].requires_grad
    assert not rows[0].requires_grad
    return rows, (sampled[0].detach(), sampled[1])


def assert_same(rows, sampled):
    # A place is rounded to 1e-6 of a cell in the one way or in the other, and neighbouring cells differ by up to 1.
    torch.testing.assert_close(rows[0], sampled[0], atol=1e-5, rtol=0, equal_nan=True)
    assert torch.equal(rows[1], sampled[1])


@given(st.lists(views, min_size=1, max_size=3), st.integers(1, 5), st.integers(2, 24), st.integers(2, 24))
@settings(deadline=None, max_examples=60)
def test_same_numbers_as_grid_sample(views, channels, height, width):
    generator = torch.Generator().manual_seed(height * 100 + width)
    heatmaps = torch.rand(len(views), channels, height, width, generator=generator)
    mirrored = torch.rand(len(views), generator=generator) < 0.5
    assert_same(*both(heatmaps, matrices(views), mirrored, torch.randperm(channels, generator=generator).tolist()))


def test_smooth_maps_agree_to_a_millionth():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    heatmaps = torch.exp(-((x - 30) ** 2 + (y - 40) ** 2) / 200)[None, None]
    rows, sampled = both(heatmaps, matrices([augment_matrix(256, 25.0, 0.8, (0.1, 0.0))]))
    torch.testing.assert_close(rows[0], sampled[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("cells", [-30.0, -7.0, -1.0, -0.75, 0.0, 0.25, 1.0, 6.5, 7.0, 8.0])
def test_borders(cells):
    """Half-outside cells fade, cells outside are zero, on each side."""
    for axis in (0, 1):
        shifted = torch.eye(2, 3)[None].clone()
        shifted[:, axis, 2] = 4 * cells
        rows, sampled = both(torch.rand(1, 2, 7, 7) + 1, shifted)
        assert_same(rows, sampled)
        line = rows[0][0, 0].mT if axis == 1 else rows[0][0, 0]
        column = torch.arange(7.0) - cells
        torch.testing.assert_close((line > 1e-5).all(0), (column > -1) & (column < 7))


def test_more_images_than_a_table_holds():
    heatmaps = torch.rand(11, 3, 16, 12)
    view = matrices([augment_matrix(48, 10.0 * i) for i in range(11)])
    mirrored = torch.arange(11) % 3 == 0
    together = both(heatmaps, view, mirrored, [2, 1, 0])
    assert_same(*together)
    with pytest.MonkeyPatch.context() as replace:
        replace.setattr(bilinear, "TABLE", 4 * 3 * 16 * 12)
        assert torch.equal(warp_heatmaps(heatmaps, view, mirrored, [2, 1, 0])[0], together[0][0])
        replace.setattr(bilinear, "TABLE", 1)
        assert torch.equal(warp_heatmaps(heatmaps, view, mirrored, [2, 1, 0])[0], together[0][0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_every_layout_and_precision(layout, dtype):
    heatmaps = torch.rand(2, 4, 10, 10).to(dtype).contiguous(memory_format=layout)
    view = matrices([augment_matrix(40, 30.0)] * 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows, sampled = both(heatmaps, view)
    assert rows[0].dtype == torch.float32
    assert rows[0].is_contiguous()
    assert_same(rows, sampled)


def test_what_is_no_number_stays_where_it_is():
    heatmaps = torch.rand(2, 3, 8, 8)
    heatmaps[0, 1, 4, 4] = torch.nan
    rows, _ = both(heatmaps, torch.eye(2, 3).expand(2, 2, 3))
    assert rows[0][0, 1].isnan().any()
    assert not rows[0][0, [0, 2]].isnan().any()
    assert not rows[0][1].isnan().any()


def test_a_singular_view_shows_nothing_known():
    for matrix in (torch.zeros(1, 2, 3), torch.full((1, 2, 3), torch.nan), torch.full((1, 2, 3), 1e-30)):
        (_, known), (_, same) = both(torch.rand(1, 2, 8, 8), matrix)
        assert torch.equal(known, same)
        assert not known.any()


def test_one_row_of_cells():
    heatmaps = torch.rand(1, 2, 1, 6)
    assert_same(*both(heatmaps, torch.eye(2, 3)[None]))
    torch.testing.assert_close(both(heatmaps, torch.eye(2, 3)[None])[0][0], heatmaps, atol=1e-5, rtol=0)


def test_under_compile_too():
    heatmaps, view = torch.rand(2, 4, 10, 10), matrices([augment_matrix(40, 30.0)] * 2)
    arguments = (heatmaps, view, torch.tensor([True, False]), [1, 0, 3, 2])
    compiled = torch.compile(warp_heatmaps, backend="aot_eager")
    assert_same(compiled(*arguments), warp_heatmaps(*arguments))

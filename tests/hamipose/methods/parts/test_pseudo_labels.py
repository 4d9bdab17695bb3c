import math

import pytest
import torch

from hamipose.methods.parts.pseudo_labels import confident, ground_false, peaks, rectify


def reference_gaussian(x: int, y: int, width: int, height: int, sigma: float) -> list[list[float]]:
    """Return the Gaussian by definition, for each cell, in a square window of ±3σ."""
    rows = []
    for v in range(height):
        row = []
        for u in range(width):
            near = abs(u - x) <= 3 * sigma and abs(v - y) <= 3 * sigma
            row.append(math.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)) if near else 0.0)
        rows.append(row)
    return rows


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_rectify_returns_a_gaussian_at_the_peak(sigma: float):
    maps = torch.randn(3, 4, 12, 16)
    maps[0, 0] -= 100  # for any sign
    found = rectify(maps, sigma)
    for image in range(3):
        for k in range(4):
            best = int(maps[image, k].flatten().argmax())
            expected = torch.tensor(reference_gaussian(best % 16, best // 16, 16, 12, sigma))
            torch.testing.assert_close(found[image, k], expected)
    assert torch.equal(rectify(3 * maps + 7, sigma), found)


def test_rectify_is_idempotent():
    maps = torch.rand(2, 3, 8, 8)
    assert torch.equal(rectify(rectify(maps, 1.0), 1.0), rectify(maps, 1.0))


def test_rectify_has_no_gradient():
    assert not rectify(torch.rand(1, 1, 8, 8, requires_grad=True)).requires_grad


def test_peaks_of_negative_maps_are_correct():
    maps = torch.full((1, 5, 7), -9.0)
    maps[0, 3, 2] = -1
    cells, height = peaks(maps)
    assert cells.tolist() == [[2, 3]]
    assert height.tolist() == [-1]


def test_ground_false_contains_the_other_keypoints():
    truth = rectify(torch.rand(2, 5, 9, 9), 1.0)
    found = ground_false(truth)
    for k in range(5):
        others = [truth[:, other] for other in range(5) if other != k]
        torch.testing.assert_close(found[:, k], sum(others).clamp(0, 1), rtol=0, atol=1e-6)
    alone = torch.zeros(1, 3, 9, 9)
    alone[0, 1] = truth[0, 1]
    assert torch.equal(ground_false(alone)[0, 1], torch.zeros(9, 9))
    assert torch.equal(ground_false(alone)[0, 0], truth[0, 1])


@pytest.mark.parametrize(("discard_fraction", "kept"), [(0.0, 12), (0.5, 6), (0.3, 9), (1.0, 0)])
def test_confident_selects_the_fraction_of_highest_peaks(discard_fraction: float, kept: int):
    heights = torch.randperm(12).float().view(3, 4)
    mask = confident(heights, discard_fraction)
    assert int(mask.sum()) == kept
    if 0 < kept < 12:
        assert heights[mask].min() > heights[~mask].max()

"""The published crops, labels and splits, compared with slow references."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamipose.data.splits import check_protocol, held_out_count, sample_with_replacement, shuffled
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import keypoint_box, padded_box, published_crop, published_labels, published_letterbox


def reference_square(points: list[tuple[float, float]], width: int, height: int, scale: float) -> list[int]:
    """Compute the published square step by step: first and last column and row, moved inside at each edge."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    longest = max(max(xs) - min(xs), max(ys) - min(ys))
    side = round(scale * longest)
    for limit in (width, height):
        if side > limit:
            side = limit
    corner = []
    for values, limit in ((xs, width), (ys, height)):
        first = round((min(values) + max(values)) / 2 - side / 2)
        last = first + side - 1
        while first < 0:
            first, last = first + 1, last + 1
        while last >= limit:
            first, last = first - 1, last - 1
        corner.append(first)
    return [*corner, side, side]


coordinates = st.floats(-20, 120, allow_nan=False, width=32)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=6), st.integers(30, 90), st.integers(30, 90))
def test_published_square_equals_the_slow_reference(points, width, height):
    box = published_crop(np.array(points, np.float32), width, height, scale=1.5)
    points = [(float(np.float32(x)), float(np.float32(y))) for x, y in points]
    assert box.tolist() == reference_square(points, width, height, 1.5)


def test_halves_are_rounded_to_even():
    # side 1.5 · 3 = 4.5 → 4, corner 10 + 1.5 − 2 = 9.5 → 10; away from zero it would be 5 and 9
    assert published_crop(np.array([[10, 10], [13, 13]], np.float32), 100, 100).tolist() == [10, 10, 4, 4]


def test_published_square_is_inside_the_image():
    for corner in ([0, 0], [90, 0], [0, 70], [90, 70]):
        points = np.array([corner, [corner[0] + 9, corner[1] + 9]], np.float32)
        left, top, side, _ = published_crop(points, 100, 80)
        assert left >= 0
        assert top >= 0
        assert left + side <= 100
        assert top + side <= 80
    assert published_crop(np.array([[0, 0], [99, 79]], np.float32), 100, 80)[2] == 80  # at most the shorter side


@pytest.mark.parametrize("side", [64, 150, 256, 512])
def test_published_labels_equal_those_of_the_published_loaders(side):
    box = np.array([13, 7, side, side], np.float32)
    points = np.random.default_rng(0).uniform(0, 300, (16, 2)).astype(np.float32)
    crop = apply_points(crop_matrix(box, 256), published_labels(points, box).astype(float))
    assert np.allclose(crop, (points - [13, 7]) * 256 / side, atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(113, 201), (201, 113), (80, 80)])
def test_published_letterbox_equals_resize_and_pad(width, height):
    points = np.random.default_rng(0).uniform(0, 80, (16, 2)).astype(np.float32)
    box = np.array([0, 0, width, height], np.float32)
    crop = apply_points(crop_matrix(box, 256), published_letterbox(points, width, height).astype(float))
    factor = 256 / max(width, height)
    inner = (int(256 * width / height), 256) if width < height else (256, int(256 * height / width))
    assert np.allclose(crop, points * factor + [(256 - inner[0]) / 2, (256 - inner[1]) / 2], atol=1e-3)


def test_padded_box_keeps_its_center():
    points = np.random.default_rng(0).uniform(0, 80, (5, 16, 2)).astype(np.float32)
    box = keypoint_box(points)
    wide = padded_box(box, 1.25)
    assert np.allclose(wide[:, 2:], 1.25 * box[:, 2:])
    assert np.allclose(wide[:, :2] + wide[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2, atol=1e-4)
    assert (points >= box[:, None, :2]).all()
    assert (points <= box[:, None, :2] + box[:, None, 2:] + 1e-4).all()


@pytest.mark.parametrize("count", [1, 7, 1000, 20000])
def test_splits_equal_those_of_pythons_random_generator(count):
    samples = [f"person {i}" for i in range(count)]
    random.seed(42)
    expected = list(samples)
    random.shuffle(expected)
    assert [samples[i] for i in shuffled(count)] == expected
    random.seed(42)
    again = random.choices(samples, k=3200)
    assert [samples[i] for i in sample_with_replacement(count)] == again
    assert held_out_count(count) == min(int(count * 0.2), 3200)


def test_there_are_two_protocols():
    assert [check_protocol(p) for p in ("strict", "paper")] == ["strict", "paper"]
    with pytest.raises(UserError, match="protocol is 'Paper', expected one of strict, paper"):
        check_protocol("Paper")

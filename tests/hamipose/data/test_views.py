"""Views: one matrix tells where every pixel and every keypoint went."""

import cv2
import numpy as np
import pytest

from hamipose.affine import apply_points, compose, crop_matrix
from hamipose.data.views import PRESETS, Views, labels_in_view, named_views, warp
from hamipose.errors import InputError
from hamipose.skeletons import BODY16
from hamipose.types import Sample


def dotted(size: int = 200, seed: int = 0) -> Sample:
    """A black picture with one white dot, which is every keypoint."""
    rng = np.random.default_rng(seed)
    point = rng.uniform(0.35 * size, 0.65 * size, 2)
    image = np.zeros((size, size + 40, 3), np.uint8)
    cv2.circle(image, tuple(round(16 * v) for v in point), 16 * 5, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return Sample(
        image=image,
        box_px=np.array([0, 0, size + 40, size], np.float32),
        name="dot",
        keypoints_px=np.tile(point, (16, 1)).astype(np.float32),
        visibility=np.full(16, 2),
    )


def centre_of_light(image: np.ndarray) -> np.ndarray:
    light = image.astype(float).sum(2)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


@pytest.mark.parametrize("preset", ["none", "hamipose", "uniframe", "regda"])
@pytest.mark.parametrize("size", [64, 256])
def test_pixels_and_labels_go_the_same_way(preset: str, size: int):
    views = PRESETS[preset]
    geometry = Views(**{**views.__dict__, "jitter": 0.0, "blur": 0.0, "noise": 0.0, "grey": 0.0, "mirror": 0.5})
    for seed in range(8):
        sample = dotted(seed=seed)
        view = geometry.view(sample, size, np.random.default_rng(seed))
        matrix = compose(view.matrix, crop_matrix(sample.box_px, size))
        points, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
        if not visibility.any() or not ((points[0] > 8) & (points[0] < size - 9)).all():
            continue
        assert np.abs(centre_of_light(view.image) - points[0]).max() < 0.25


def test_the_same_seed_gives_the_same_view_and_another_seed_another():
    sample = dotted()
    for preset in PRESETS.values():
        a, b, c = (preset.view(sample, 64, np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.matrix, b.matrix)
        if preset is not PRESETS["none"]:
            assert not np.array_equal(a.image, c.image)


def test_none_is_the_plain_crop():
    sample = dotted()
    view = PRESETS["none"].view(sample, 64, np.random.default_rng(0))
    assert np.allclose(view.matrix, np.eye(3)[:2], atol=1e-6)
    assert np.array_equal(view.image, warp(sample.image, crop_matrix(sample.box_px, 64), 64))


def test_no_paper_mirrors():
    assert all(PRESETS[name].mirror == 0 for name in ("none", "regda", "hamipose", "uniframe"))


def test_mirroring_exchanges_left_and_right():
    keypoints = np.stack([np.arange(16.0) + 20, np.full(16, 30.0)], 1).astype(np.float32)
    matrix, mirrored = Views(mirror=1.0).sample_matrix(64, np.random.default_rng(0))
    assert mirrored
    moved, _ = labels_in_view(keypoints, np.full(16, 2), matrix, 64, BODY16.mirror)
    left, right = BODY16.index("left_wrist"), BODY16.index("right_wrist")
    assert np.allclose(moved[left], apply_points(matrix, keypoints[[right]].astype(float))[0], atol=1e-4)
    assert np.allclose(moved[left], [63 - keypoints[right, 0], 30], atol=1e-4)


def test_a_keypoint_outside_the_view_has_no_label():
    matrix = np.eye(3)[:2]
    points = np.array([[-0.6, 5], [-0.4, 5], [63.4, 63.4], [63.6, 0]], np.float32)
    _, visibility = labels_in_view(points, np.array([2, 2, 1, 2]), matrix, 64)
    assert visibility.tolist() == [0, 2, 1, 0]


def test_windows_stay_inside_the_picture():
    """RegDA's crop shows at least 60 % of the area and nothing beyond the picture."""
    for seed in range(50):
        matrix, _ = Views(crop_area=0.6).sample_matrix(100, np.random.default_rng(seed))
        corners = np.array([[-0.5, -0.5], [99.5, 99.5]])
        low, high = apply_points(matrix, corners)
        assert (low <= -0.5 + 1e-6).all()
        assert (high >= 99.5 - 1e-6).all()
        assert 1 - 1e-6 <= matrix[0, 0] <= 0.6**-0.5 + 1e-6


def test_shrinking_averages_instead_of_skipping_pixels():
    noise = np.random.default_rng(0).integers(0, 2, (512, 512, 1), dtype=np.uint8) * 255
    small = warp(np.repeat(noise, 3, 2), crop_matrix(np.array([0, 0, 512, 512], np.float32), 32), 32)
    assert abs(small.mean() - 127.5) < 3
    assert small[2:-2, 2:-2].std() < 20


def test_mistakes_are_told():
    with pytest.raises(InputError, match="views are 'hammy', expected one of none, regda"):
        named_views("hammy")
    with pytest.raises(InputError, match="crop_area"):
        Views(crop_area=0.0)

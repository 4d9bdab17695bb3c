"""Views: one matrix maps all pixels and keypoints."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.data.sampling import BatchPosition
from hamipose.data.views import PRESETS, Views, get_views
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, compose, crop_matrix, invert
from hamipose.geometry.crops import labels_in_view, warp_crop
from hamipose.skeletons import BODY16
from hamipose.types import Sample


def dotted(size: int = 200, seed: int = 0) -> Sample:
    """Return a black image with one white dot at the position of all keypoints."""
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


def center_of_light(image: np.ndarray) -> np.ndarray:
    light = image.astype(float).sum(2)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


@pytest.mark.parametrize("preset", ["none", "hamipose", "uniframe", "regda"])
@pytest.mark.parametrize("size", [64, 256])
def test_pixels_and_labels_move_together(preset: str, size: int):
    views = PRESETS[preset]
    geometry = Views(**{**views.__dict__, "jitter": 0.0, "blur": 0.0, "noise": 0.0, "gray": 0.0, "mirror": 0.5})
    for seed in range(8):
        sample = dotted(seed=seed)
        view = geometry.view(sample, size, np.random.default_rng(seed))
        matrix = compose(view.matrix, crop_matrix(sample.box_px, size))
        points, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, size)
        if not visibility.any() or not ((points[0] > 8) & (points[0] < size - 9)).all():
            continue
        assert np.abs(center_of_light(view.image) - points[0]).max() < 0.25


def test_view_depends_on_the_seed():
    sample = dotted()
    for preset in PRESETS.values():
        a, b, c = (preset.view(sample, 64, np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.matrix, b.matrix)
        if preset is not PRESETS["none"]:
            assert not np.array_equal(a.image, c.image)


def test_preset_none_is_the_plain_crop():
    sample = dotted()
    view = PRESETS["none"].view(sample, 64, np.random.default_rng(0))
    assert np.allclose(view.matrix, np.eye(3)[:2], atol=1e-6)
    assert np.array_equal(view.image, warp_crop(sample.image, crop_matrix(sample.box_px, 64), 64))


def test_published_presets_do_not_mirror():
    assert all(PRESETS[name].mirror == 0 for name in ("none", "regda", "hamipose", "uniframe"))


def test_mirroring_swaps_left_and_right():
    keypoints = np.stack([np.arange(16.0) + 20, np.full(16, 30.0)], 1).astype(np.float32)
    matrix, mirrored = Views(mirror=1.0).sample_matrix(64, np.random.default_rng(0))
    assert mirrored
    moved, _ = labels_in_view(keypoints, np.full(16, 2), matrix, 64, BODY16.mirror)
    left, right = BODY16.index("left_wrist"), BODY16.index("right_wrist")
    assert np.allclose(moved[left], apply_points(matrix, keypoints[[right]].astype(float))[0], atol=1e-4)
    assert np.allclose(moved[left], [63 - keypoints[right, 0], 30], atol=1e-4)


def test_keypoint_outside_the_view_is_not_labeled():
    matrix = np.eye(3)[:2]
    points = np.array([[-0.6, 5], [-0.4, 5], [63.4, 63.4], [63.6, 0]], np.float32)
    _, visibility = labels_in_view(points, np.array([2, 2, 1, 2]), matrix, 64)
    assert visibility.tolist() == [0, 2, 1, 0]


def test_windows_stay_inside_the_image():
    """RegDA's crop shows at least 60 % of the area and nothing outside the image."""
    for seed in range(50):
        matrix, _ = Views(crop_area=0.6).sample_matrix(100, np.random.default_rng(seed))
        corners = np.array([[-0.5, -0.5], [99.5, 99.5]])
        low, high = apply_points(matrix, corners)
        assert (low <= -0.5 + 1e-6).all()
        assert (high >= 99.5 - 1e-6).all()
        assert 1 - 1e-6 <= matrix[0, 0] <= 0.6**-0.5 + 1e-6


def test_reduction_averages_pixels():
    noise = np.random.default_rng(0).integers(0, 2, (512, 512, 1), dtype=np.uint8) * 255
    small = warp_crop(np.repeat(noise, 3, 2), crop_matrix(np.array([0, 0, 512, 512], np.float32), 32), 32)
    assert abs(small.mean() - 127.5) < 3
    assert small[2:-2, 2:-2].std() < 20


def test_warp_crop_equals_plain_warp():
    """For all image sizes, reduced or enlarged, including borders."""
    rng = np.random.default_rng(0)
    for side in (40, 90, 128, 200):
        image = rng.integers(0, 256, (side, side + 7, 3), dtype=np.uint8)
        for _ in range(10):
            matrix = PRESETS["uniframe"].sample_matrix(64, rng)[0]
            matrix = compose(matrix, crop_matrix(np.array([0, 0, 64, 64], np.float32), 64))
            plain = cv2.warpAffine(image, matrix, (64, 64), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            if np.linalg.det(matrix[:, :2]) > 0.3:  # otherwise blocks are averaged first
                assert np.array_equal(warp_crop(image, matrix, 64), plain)


def test_invalid_views_are_rejected():
    with pytest.raises(UserError, match="views are 'hammy', expected one of none, regda"):
        get_views("hammy")
    with pytest.raises(UserError, match="crop_area"):
        Views(crop_area=0.0)


def draws(preset: str, count: int = 4000) -> np.ndarray:
    """Draw many matrices of a preset from a 256-pixel crop to its view."""
    rng = np.random.default_rng(0)
    return np.stack([PRESETS[preset].sample_matrix(256, rng)[0] for _ in range(count)])


def test_presets_draw_from_the_published_ranges():
    """Many draws of angle, area, zoom, shear and shift reach the limits of their ranges and do not exceed them."""
    for preset, degrees in (("regda", 30), ("hamipose", 30), ("regda_hands", 180)):
        linear = draws(preset)[:, :, :2]
        zoom = np.sqrt(np.linalg.det(linear))
        angle = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
        assert 0.99 * degrees < np.abs(angle).max() <= degrees
        assert abs(np.mean(angle)) < 0.05 * degrees
        assert zoom.min() == pytest.approx(1, abs=2e-3)
        assert zoom.max() == pytest.approx(0.6**-0.5, rel=2e-3)
        # Uniform in the area, as published: a quarter of the windows show less than 0.7 of it.
        assert np.mean(zoom**-2 < 0.7) == pytest.approx(0.25, abs=0.03)
    linear = draws("uniframe")[:, :, :2]
    # linear = turn · scale · [[1, tan shear], [0, 1]]: its first column is only rotated and scaled.
    first, second = linear[:, :, 0], linear[:, :, 1]
    angle = np.degrees(np.arctan2(first[:, 1], first[:, 0]))
    scale = np.linalg.norm(first, axis=1)
    shear = np.degrees(np.arctan((first * second).sum(1) / scale**2))
    assert 59 < np.abs(angle).max() <= 60
    assert 29.5 < np.abs(shear).max() <= 30 + 1e-9
    assert scale.min() == pytest.approx(0.6, abs=0.03)
    assert scale.max() == pytest.approx(1.3 * 0.6**-0.5, rel=0.04)
    assert np.allclose(np.linalg.det(linear), scale**2)


def test_uniframe_window_precedes_rotation():
    """The window's center stays within the shift of 5 % for any rotation; compared with torchvision."""
    from torchvision.transforms.functional import _get_inverse_affine_matrix

    views, rng = PRESETS["uniframe"], np.random.default_rng(3)
    for seed in range(20):
        window = views.sample_window(rng)
        matrix, _ = views.sample_matrix(256, np.random.default_rng(seed), window)
        corner = 127.5 - window.shift * 256 / window.zoom  # the center of the window
        middle = apply_points(matrix, corner[None])[0]
        assert np.abs(middle - 127.5).max() <= 0.05 * 256 + 1e-6
        # The same numbers, drawn in the same order, through the affine map of the reference.
        drawn = np.random.default_rng(seed)
        drawn.random()
        angle, shift = drawn.uniform(-60, 60), drawn.uniform(-0.05, 0.05, 2) * 256
        scale, shear = drawn.uniform(0.6, 1.3), drawn.uniform(-30, 30)
        back = np.array(_get_inverse_affine_matrix([0.0, 0.0], angle, shift.tolist(), scale, [-shear, 0.0]))
        forth = np.linalg.inv(np.vstack([back.reshape(2, 3), [0, 0, 1]]))[:2]
        turned = matrix[:, :2] / window.zoom
        assert np.allclose(turned, forth[:, :2])


@pytest.mark.parametrize("preset", PRESETS)
def test_views_keep_all_keypoints(preset: str):
    """Keypoints outside the view are marked and not dropped, and mirroring is an involution."""
    rng = np.random.default_rng(0)
    keypoints = np.random.default_rng(1).uniform(0, 64, (16, 2)).astype(np.float32)
    for _ in range(50):
        matrix, mirrored = PRESETS[preset].sample_matrix(64, rng)
        moved, visibility = labels_in_view(keypoints, np.full(16, 2), matrix, 64, BODY16.mirror if mirrored else None)
        assert moved.shape == (16, 2)
        assert np.isfinite(moved).all()
        assert visibility.shape == (16,)
        original = moved[BODY16.mirror] if mirrored else moved
        assert np.allclose(original, apply_points(matrix, keypoints.astype(float)), atol=1e-3)
        assert (np.linalg.det(matrix[:, :2]) < 0) == mirrored


def test_uniframe_student_and_teacher_share_one_window(dots: Path):
    """Without shifts, both views have the center of their common window."""
    still = replace(PRESETS["uniframe"], translate=0.0)

    def middles(teacher: Views) -> list[np.ndarray]:
        target = Unlabeled(CocoKeypoints(str(dots / "dark"), box="image"))
        source = CocoKeypoints(str(dots / "light"), box="image")
        data = DomainAdaptation(source, target, image_size=64, student_views=still, teacher_views=teacher)
        data.setup("fit")
        views = data.training_set[BatchPosition(0, 3, True)][1]
        assert not np.allclose(views.student.matrix, views.teacher.matrix)
        return [apply_points(invert(v.matrix), np.array([[31.5, 31.5]]))[0] for v in (views.student, views.teacher)]

    student, teacher = middles(still)
    assert np.allclose(student, teacher)
    assert not np.allclose(student, 31.5)
    student, teacher = middles(replace(still, window_first=False))  # each draws its own window
    assert not np.allclose(student, teacher)

"""Linking and smoothing of people over the frames of a video."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from scipy.signal import savgol_coeffs

from meshtto.body import load_body
from meshtto.cli import main
from meshtto.predict.recover import Person
from meshtto.predict.smoothing import link_people, smooth_people, smooth_series, window_length

RATE = 25.0


@pytest.fixture(scope="module")
def body() -> Any:
    return load_body("builtin")


def person(number: int, **arrays: Any) -> Person:
    """Return a person in the rest pose at (0, 0, 4) m, with some arrays replaced."""
    own = {
        "rotations": np.repeat(np.eye(3, dtype=np.float32)[None], 24, 0),
        "shape": np.zeros(10, np.float32),
        "translation_m": np.array([0, 0, 4], np.float32),
        "focal_px": np.float32(500),
        "principal_px": np.array([160, 120], np.float32),
        "box_center_px": np.array([160, 120], np.float32),
        "box_side_px": np.float32(100),
        "diverged": np.array(False),
        **arrays,
    }
    return Person(number, np.zeros((0, 3)), own, {"steps": 0, "diverged": bool(own["diverged"]), "losses": []})


def test_link_people_follows_moving_boxes_and_ends_after_gaps():
    """Check two people who change order, a third who appears, and one who returns too late."""
    frames = np.array([0, 0, 1, 1, 2, 2, 2, 3, 9])
    centers = np.array([[0, 0], [300, 0], [310, 5], [8, 0], [15, 0], [320, 0], [600, 0], [22, 0], [330, 0]], float)
    tracks = link_people(frames, centers, np.full(9, 100.0), max_gap=3)
    assert tracks.tolist() == [0, 1, 1, 0, 0, 1, 2, 0, 3]


def test_link_people_prefers_the_larger_sum_of_overlaps():
    """Check an assignment that a greedy choice of the best pair would miss."""
    centers = np.array([[0.0, 0], [40, 0], [30, 0], [60, 0]])
    assert link_people(np.array([0, 0, 1, 1]), centers, np.full(4, 100.0), 1).tolist() == [0, 1, 0, 1]


def test_smooth_series_keeps_quadratic_motion_and_fills_gaps():
    frames = np.array([4, 6, 8, 12, 14, 16, 18])
    values = np.stack([0.3 * frames**2, 5.0 - frames], 1)
    linear = smooth_series(frames, values[:, 1:], frames, 5, step=2)
    np.testing.assert_allclose(linear, values[:, 1:], atol=1e-9)
    every = np.arange(4, 20, 2)
    np.testing.assert_allclose(smooth_series(every, 0.3 * every[:, None] ** 2.0, every, 5, 2)[:, 0], 0.3 * every**2)
    for few in (1, 2):
        np.testing.assert_array_equal(smooth_series(frames[:few], values[:few], frames[:few], 5, 2), values[:few])


def test_smooth_series_reduces_noise_as_the_filter_predicts():
    """The variance of white noise falls by the sum of the squared coefficients."""
    noise = np.random.default_rng(0).normal(size=(4000, 1))
    frames = np.arange(4000)
    filtered = smooth_series(frames, noise, frames, 13)
    assert filtered.var() == pytest.approx((savgol_coeffs(13, 2) ** 2).sum(), rel=0.1)


def test_smoothed_people_have_one_shape_and_keep_their_size_in_the_image(body: Any):
    """Check frames in which shape, and with it the depth, differ, while the image stays the same."""
    rng = np.random.default_rng(1)
    shapes = rng.normal(0, 1, (20, 10)).astype(np.float32)
    rest = torch.eye(3).expand(20, 24, 3, 3)
    heights = np.ptp(body(rest, torch.from_numpy(shapes)).vertices_m[..., 1].numpy(), axis=1)
    people = [
        (i, person(0, shape=shapes[i], translation_m=np.array([0.1 * h, 0, 2.5 * h], np.float32)))
        for i, h in enumerate(heights)
    ]
    smoothed = [smooth_people(people, body, RATE)[i][0] for i in range(20)]
    for one in smoothed:
        np.testing.assert_allclose(one.arrays["shape"], shapes.mean(0), atol=1e-5)
    positions = np.stack([one.arrays["translation_m"] for one in smoothed])
    height = np.ptp(smoothed[0].vertices_m[:, 1])
    np.testing.assert_allclose(positions, np.tile([0.1 * height, 0, 2.5 * height], (20, 1)), rtol=1e-3, atol=1e-4)
    raw_depths = np.array([one.arrays["translation_m"][2] for _, one in people])
    assert np.ptp(positions[:, 2]) < 0.01 * np.ptp(raw_depths)


def test_smoothed_rotations_follow_steady_turns_and_lose_noise(body: Any):
    """Check a turn of a joint beyond half a circle, where quaternions change their sign, with noise."""
    angles = np.linspace(0, 1.6 * np.pi, 40)
    axis = np.array([0.0, 1.0, 0.0])
    clean = roma.rotvec_to_rotmat(torch.from_numpy(angles[:, None] * axis)).float()
    noise = roma.rotvec_to_rotmat(0.1 * torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)))).float()

    def errors(rotations: torch.Tensor) -> float:
        people = [(2 * i, person(0, rotations=_with_root(rotation))) for i, rotation in enumerate(rotations)]
        smoothed = smooth_people(people, body, RATE, step=2)
        found = torch.stack([torch.from_numpy(smoothed[2 * i][0].arrays["rotations"][0]) for i in range(40)])
        return float(roma.rotmat_geodesic_distance(found, clean).square().mean().sqrt())

    assert errors(clean) < 2e-3
    assert errors(noise @ clean) < 0.6 * float(
        roma.rotmat_geodesic_distance(noise @ clean, clean).square().mean().sqrt()
    )


def _with_root(rotation: torch.Tensor) -> np.ndarray:
    rotations = np.repeat(np.eye(3, dtype=np.float32)[None], 24, 0)
    rotations[0] = rotation.numpy()
    return rotations


def test_diverged_frames_are_interpolated(body: Any):
    people = [(i, person(0, translation_m=np.array([0, 0, 4 + 0.1 * i], np.float32))) for i in range(9)]
    wild = _with_root(roma.rotvec_to_rotmat(torch.tensor([2.0, 0, 0])))
    people[4] = (4, person(0, translation_m=np.array([3, 0, 90], np.float32), rotations=wild, diverged=np.array(True)))
    smoothed = smooth_people(people, body, RATE)[4][0]
    np.testing.assert_allclose(smoothed.arrays["translation_m"], [0, 0, 4.4], atol=0.01)
    np.testing.assert_allclose(smoothed.arrays["rotations"][0], np.eye(3), atol=1e-5)
    keypoints = smoothed.arrays["joints_m"]
    pixels = 500 * keypoints[:, :2] / keypoints[:, 2:] + [160, 120]
    np.testing.assert_allclose(smoothed.arrays["keypoints_px"], pixels, atol=1e-2)


def test_window_covers_the_same_time_at_every_rate():
    assert [window_length(rate) for rate in (5.0, 25.0, 60.0)] == [5, 11, 25]
    assert smooth_people([], load_body("builtin"), RATE) == {}


@pytest.mark.slow
def test_predict_writes_a_smoothed_variant_of_a_video(
    clip: Path, checkpoint: Path, pose_checkpoint: Path, tmp_path: Path
):
    words = ["predict", str(clip), "--checkpoint", str(checkpoint), "--pose-checkpoint", str(pose_checkpoint)]
    assert main([*words, "--no-images", "--out", str(tmp_path)]) == 0
    raw, smooth = np.load(tmp_path / "clip.npz"), np.load(tmp_path / "clip-smooth.npz")
    assert sorted(raw) == sorted(smooth)
    np.testing.assert_array_equal(raw["frame"], smooth["frame"])
    for person_number in np.unique(smooth["person"]):
        own = smooth["shape"][smooth["person"] == person_number]
        np.testing.assert_allclose(own, own[:1].repeat(len(own), 0), atol=1e-6)
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"clip-overlay.mp4", "clip-smooth-overlay.mp4"}
    assert main([*words, "--no-images", "--no-smooth", "--out", str(tmp_path / "raw")]) == 0
    assert not list((tmp_path / "raw").glob("*smooth*"))

from dataclasses import replace

import numpy as np
import pytest
import torch

from hamipose.adapt.self_consistency import (
    SelfConsistency,
    agreement,
    comparison_rows,
    find_warnings,
    jerk,
    measure_self_consistency,
    variety,
)
from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo
from hamipose.skeletons import BODY16
from hamipose.types import UnlabeledSample

SIDE = 64
GOOD = SelfConsistency(confidence=0.5, mirror_agreement=0.8, rotation_agreement=0.7, variety=0.2, jerk=0.01)


class Blobs(Predictor):
    """Places all keypoints on the bright spot of the image."""

    def __init__(self, noise: float = 0.0, frozen: bool = False):
        self.network, self.passes = torch.nn.Identity(), 1
        self.info = ModelInfo("body16", "none", (), SIDE)
        self.noise = noise
        self.frozen = frozen

    def heatmaps(self, crops: torch.Tensor) -> torch.Tensor:
        """Return maps that are high where the image is bright."""
        if self.frozen:
            maps = torch.zeros(len(crops), 16, 16, 16)
            maps[..., 8, 8] = 1.0
            return maps
        bright = torch.nn.functional.avg_pool2d(crops.float().mean(1, keepdim=True), 4) / 255
        maps = bright.expand(-1, 16, -1, -1)
        return maps + self.noise * torch.rand(maps.shape)


def spots(count: int = 12) -> list[UnlabeledSample]:
    rng, frames = np.random.default_rng(0), []
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(count):
        cx, cy = rng.uniform(22, 42, 2)
        glow = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 5.0**2)) * 250
        image = np.repeat(glow[..., None], 3, 2).astype(np.uint8)
        frames.append(UnlabeledSample(image=image, box_px=np.array([0, 0, SIDE, SIDE], np.float32), name=str(i)))
    return frames


def test_model_that_follows_the_image_is_consistent():
    indicators = measure_self_consistency(Blobs(), spots())
    assert indicators.mirror_agreement == 1.0
    assert indicators.rotation_agreement == 1.0
    assert 0.05 < indicators.variety < 0.3
    assert indicators.jerk is None


def test_model_that_guesses_is_inconsistent():
    torch.manual_seed(0)
    indicators = measure_self_consistency(Blobs(noise=5.0), spots())
    assert indicators.mirror_agreement < 0.3
    assert indicators.rotation_agreement < 0.3


def test_collapsed_model_is_consistent_without_variety():
    collapsed = measure_self_consistency(Blobs(frozen=True), spots())
    assert collapsed.variety == 0.0
    sound = measure_self_consistency(Blobs(), spots())
    assert any("vary much less" in warning for warning in find_warnings(sound, collapsed))


def test_agreement_counts_keypoints_within_tolerance():
    a = torch.zeros(1, 4, 2)
    b = torch.tensor([[[0.0, 0.0], [4.9, 0.0], [5.1, 0.0], [4.0, 4.0]]])
    assert agreement(a, b, 100) == 0.5


def test_jerk_is_zero_for_even_motion_and_independent_of_scale():
    time = torch.arange(6.0)[:, None, None]
    even = time * torch.tensor([2.0, -1.0]) + torch.zeros(6, 16, 2)
    assert jerk(even, 64) == pytest.approx(0.0, abs=1e-6)
    wild = even + torch.randn(6, 16, 2)
    assert jerk(wild, 64) == pytest.approx(jerk(2 * wild, 128), rel=1e-5)
    assert jerk(wild[:2], 64) is None


def test_variety_is_the_spread_about_the_mean_pose():
    points = torch.tensor([[[0.0, 0.0]], [[6.0, 8.0]]])
    assert variety(points, 10) == pytest.approx(0.5)
    assert variety(points + 100, 10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mirror_agreement": 0.7}, "mirrored"),
        ({"rotation_agreement": 0.6}, "rotated"),
        ({"variety": 0.1}, "vary"),
        ({"jerk": 0.02}, "smoothly"),
    ],
)
def test_each_indicator_can_warn(change: dict[str, float], says: str):
    (warning,) = find_warnings(GOOD, replace(GOOD, **change))
    assert says in warning


def test_equal_or_better_indicators_do_not_warn():
    assert find_warnings(GOOD, GOOD) == []
    better = SelfConsistency(confidence=0.2, mirror_agreement=0.9, rotation_agreement=0.8, variety=0.25, jerk=0.005)
    assert find_warnings(GOOD, better) == []


def test_comparison_rows_exclude_unmeasured_indicators():
    assert len(comparison_rows(GOOD, GOOD)) == 5
    assert len(comparison_rows(replace(GOOD, jerk=None), replace(GOOD, jerk=None))) == 4


def test_mirroring_swaps_left_and_right():
    """A model that assigns sides by image position is inconsistent under mirroring."""

    class Sides(Blobs):
        def heatmaps(self, crops: torch.Tensor) -> torch.Tensor:
            maps = torch.zeros(len(crops), 16, 16, 16)
            for k, name in enumerate(BODY16.keypoints):
                maps[:, k, 8, 3 if name.startswith("left_") else 12 if name.startswith("right_") else 8] = 1.0
            return maps

    # Left keypoints are always on the left of the image: after mirroring and swapping they return there.
    # columns 3 and 12 mirror to 12 and 3: agreement is full for the sides, and column 8 mirrors to 7: 4 px apart.
    indicators = measure_self_consistency(Sides(), spots(2))
    sided = sum(name.startswith(("left_", "right_")) for name in BODY16.keypoints)
    assert indicators.mirror_agreement == pytest.approx(sided / 16)

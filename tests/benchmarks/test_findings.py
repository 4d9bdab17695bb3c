"""The parts of the experiments of docs/findings.md: wrong labels, and differences with intervals."""

import numpy as np
import pytest
import torch

from benchmarks.corrupted_labels import Corruption, corrupt
from benchmarks.findings import difference, pck
from hamipose.skeletons import BODY16

SIZE = 96
NAMES = [f"photo{i}.jpg" for i in range(400)]


@pytest.fixture
def labels() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    points = SIZE * torch.rand(len(NAMES), len(BODY16), 2, generator=random)
    return points, torch.rand(len(NAMES), len(BODY16), generator=random)


def index(name: str) -> int:
    return BODY16.keypoints.index(name)


def test_exchange_swaps_chosen_pairs_at_the_rate_and_nothing_else(labels: tuple[torch.Tensor, torch.Tensor]):
    points, scores = labels
    wrong_points, wrong_scores = corrupt(points, scores, NAMES, BODY16, Corruption("exchange", 0.3), SIZE)
    changed = (wrong_points != points).any(-1)
    for joint in ("wrist", "ankle"):
        left, right = index(f"left_{joint}"), index(f"right_{joint}")
        assert changed[:, left].float().mean() == pytest.approx(0.3, abs=0.07)
        assert torch.equal(changed[:, left], changed[:, right])
        swapped = changed[:, left]
        torch.testing.assert_close(wrong_points[swapped, left], points[swapped, right])
        torch.testing.assert_close(wrong_scores[swapped, right], scores[swapped, left])
    others = [k for k, name in enumerate(BODY16.keypoints) if not name.endswith(("wrist", "ankle"))]
    assert not changed[:, others].any()
    part = corrupt(points[50:60], scores[50:60], NAMES[50:60], BODY16, Corruption("exchange", 0.3), SIZE)[0]
    assert torch.equal(part, wrong_points[50:60])  # the same labels of an image, in any batch


def test_outliers_move_by_a_fifth_of_the_crop_and_stay_inside(labels: tuple[torch.Tensor, torch.Tensor]):
    points, scores = labels
    moved, _ = corrupt(points, scores, NAMES, BODY16, Corruption("outlier", 0.6, ("wrist",)), SIZE)
    distance = (moved - points).norm(dim=-1)
    for side in ("left", "right"):
        wrong = distance[:, index(f"{side}_wrist")] > 0
        assert wrong.float().mean() == pytest.approx(0.6, abs=0.07)
        torch.testing.assert_close(distance[wrong, index(f"{side}_wrist")], torch.full((int(wrong.sum()),), 0.2 * SIZE))
        inside = moved[wrong, index(f"{side}_wrist")]
        assert ((inside >= 0) & (inside <= SIZE - 1)).all()
    assert torch.equal(corrupt(points, scores, NAMES, BODY16, Corruption("outlier", 0.0), SIZE)[0], points)


def test_difference_is_that_of_pck_and_its_interval_covers_the_truth():
    """Check pairs whose true difference is 4 points, and a difference of exactly 0."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        shared = random.random((2, 300, 4))
        theirs = np.where(shared < 0.70, 0.01, 1.0)
        ours = np.where(shared < 0.74, 0.01, 1.0)
        theirs[0, :5], ours[0, :5] = np.nan, np.nan
        mean, low, high = difference(ours, theirs, [0, 1, 2, 3], 0.05)
        assert mean == pytest.approx(pck(ours, [0, 1, 2, 3], 0.05) - pck(theirs, [0, 1, 2, 3], 0.05), abs=1e-6)
        covered += low <= 4 <= high
        assert low <= mean <= high
    assert covered >= 34
    assert difference(theirs, theirs, [0, 1], 0.05) == (0.0, 0.0, 0.0)

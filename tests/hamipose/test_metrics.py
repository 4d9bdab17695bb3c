import math

import numpy as np
import pytest
import torch

from hamipose.heatmaps import encode
from hamipose.metrics import PCK, PaperPCK, paper_pck
from hamipose.skeletons import BODY16, COCO17, HAND21

SIZE = (256, 256)


def batches(skeleton, sizes=(5, 1, 7), seed=0, spread=14.0, never=(), missing=0.3):
    """Yield uneven batches of predictions, ground truth and visibilities; some keypoints are outside the image."""
    rng = np.random.default_rng(seed)
    for n in sizes:
        keypoints = rng.uniform(-15, 270, (n, len(skeleton), 2)).astype(np.float32)
        predicted = keypoints + rng.normal(0, spread, keypoints.shape).astype(np.float32)
        visibility = rng.integers(1, 3, keypoints.shape[:2]) * (rng.random(keypoints.shape[:2]) > missing)
        visibility[:, list(never)] = 0
        yield torch.from_numpy(predicted), torch.from_numpy(keypoints), torch.from_numpy(visibility)


def grouped(per_joint, skeleton, mean):
    groups = {**skeleton.groups, "all": skeleton.all}
    return {g: mean([per_joint[skeleton.keypoints.index(j)] for j in joints]) for g, joints in groups.items()}


def reference_pck(data, skeleton, threshold, side):
    """Compute the strict protocol joint by joint."""
    hits, seen = [0] * len(skeleton), [0] * len(skeleton)
    for predicted, keypoints, visibility in data:
        for n in range(len(keypoints)):
            for k in range(len(skeleton)):
                x, y = keypoints[n, k].tolist()
                if visibility[n, k] == 0 or not (-0.5 <= x <= side - 0.5 and -0.5 <= y <= side - 0.5):
                    continue
                seen[k] += 1
                hits[k] += math.dist(predicted[n, k].tolist(), (x, y)) < threshold * side

    def mean(values):
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known else float("nan")

    return grouped([h / s if s else None for h, s in zip(hits, seen, strict=True)], skeleton, mean)


def reference_published(data, skeleton, variant):
    """Compute the evaluation of RegDA and UniFrame joint by joint, on heatmaps."""

    def peak(heatmap):
        y, x = np.unravel_index(np.argmax(heatmap), heatmap.shape)
        return (float(x), float(y)) if heatmap[y, x] > 0 else (0.0, 0.0)

    total, weight = np.zeros(len(skeleton)), np.zeros(len(skeleton))
    for heatmaps, truths in data:
        n, joints, height, width = heatmaps.shape
        assert height == width
        for k in range(joints):
            correct, counted = 0, 0
            for i in range(n):
                true, found = peak(truths[i, k]), peak(heatmaps[i, k])
                if true[0] > 1 and true[1] > 1:
                    counted += 1
                    correct += math.hypot(*((f - t) / (height / 10) for f, t in zip(found, true, strict=True))) < 0.5
            accuracy = correct / counted if counted else -1
            if variant == "tll" or accuracy != -1:
                total[k] += accuracy * n
                weight[k] += n
    return grouped([t / w if w else 0 for t, w in zip(total, weight, strict=True)], skeleton, np.mean)


@pytest.mark.parametrize("skeleton", [BODY16, COCO17, HAND21])
@pytest.mark.parametrize("threshold", [0.05, 0.1])
def test_strict_pck_equals_a_loop_over_joints(skeleton, threshold):
    data = list(batches(skeleton))
    metric = PCK(skeleton, threshold)
    for batch in data:
        metric.update(*batch)
    expected = reference_pck(data, skeleton, threshold, 256)
    result = metric.compute()
    assert result.keys() == expected.keys() == {*skeleton.groups, "all"}
    for name in expected:
        assert result[name].item() == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("variant", ["tll", "uniframe"])
@pytest.mark.parametrize("side", [256, 96])
def test_published_pck_equals_a_loop_over_joints_of_heatmaps(variant, side):
    never = (BODY16.index("head"), BODY16.index("left_knee"))
    data, metric = [], PaperPCK(BODY16, variant=variant)
    for predicted, keypoints, visibility in batches(BODY16, never=never, missing=0.5, spread=10.0):
        keypoints, predicted = keypoints * side / 256, predicted * side / 256
        truths = encode(keypoints, (side, side), visible=visibility > 0, quantize=True)
        heatmaps = encode(predicted, (side, side)) - 0.1 * torch.rand(len(predicted), 16, side // 4, side // 4)
        heatmaps[0, 3] = -heatmaps[0, 3].abs()  # nothing positive
        heatmaps[0, 4, 5, 5] = heatmaps[0, 4, 7, 3] = 3.0  # a tie
        metric.update(heatmaps, keypoints, visibility)
        data.append((heatmaps.numpy(), truths.numpy()))
    expected, result = reference_published(data, BODY16, variant), metric.compute()
    assert result.keys() == expected.keys()
    for name in expected:
        assert result[name].item() == pytest.approx(expected[name], abs=1e-6), name
    assert expected["head"] == {"tll": -1, "uniframe": 0}[variant], "the two variants must differ here"


def test_published_threshold_excludes_itself():
    """On a 40 × 40 map, 5 % of the side is exactly 2 cells."""
    true = torch.full((2, 1, 2), 20.0)
    predicted = true + torch.tensor([[[2.0, 0.0]], [[1.0, 1.0]]])
    assert paper_pck(predicted, true, (40, 40)).tolist() == [0.5]


def test_strict_threshold_excludes_itself():
    metric = PCK(BODY16, threshold=0.05, size=200)
    keypoints = torch.full((1, 16, 2), 100.0)
    predicted = keypoints.clone()
    predicted[0, :8, 0] += 10.0
    predicted[0, 8:, 0] += 9.99
    metric.update(predicted, keypoints, torch.ones(1, 16, dtype=torch.long))
    assert metric.per_keypoint().tolist() == [0.0] * 8 + [1.0] * 8


def test_the_longer_side_defines_the_distance():
    metric = PCK(BODY16, threshold=0.1, size=(50, 100))
    keypoints = torch.full((1, 16, 2), 25.0)
    metric.update(keypoints + torch.tensor([9.0, 0.0]), keypoints, torch.ones(1, 16, dtype=torch.long))
    assert metric.compute()["all"] == 1


@pytest.mark.parametrize("make", [lambda: PCK(BODY16), lambda: PaperPCK(BODY16, variant="uniframe")])
def test_perfect_predictions_score_one_and_wrong_ones_low(make):
    keypoints = torch.rand(3, 16, 2) * 200 + 20
    visibility = torch.ones(3, 16, dtype=torch.long)

    def score(predicted):
        metric = make()
        paper = isinstance(metric, PaperPCK)
        metric.update(encode(predicted, SIZE, quantize=True) if paper else predicted, keypoints, visibility)
        return metric.compute()["all"].item()

    assert score(keypoints) == 1
    assert score(keypoints.flip(0) * 0 + 255 - keypoints.roll(1, 1)) < 0.5
    assert score(torch.full_like(keypoints, float("nan"))) == 0


def test_uncounted_joints_are_excluded_and_a_group_of_them_is_nan():
    metric = PCK(BODY16)
    keypoints = torch.full((2, 16, 2), 100.0)
    visibility = torch.ones(2, 16, dtype=torch.long)
    visibility[:, BODY16.indices(("head", "left_wrist"))] = 0
    metric.update(keypoints, keypoints, visibility)
    result = metric.compute()
    assert result["head"].isnan()
    assert result["wrist"] == result["all"] == 1


def test_an_empty_metric_is_nan():
    metric = PCK(BODY16)
    metric.update(torch.zeros(0, 16, 2), torch.zeros(0, 16, 2), torch.zeros(0, 16, dtype=torch.long))
    assert all(value.isnan() for value in metric.compute().values())


def test_strict_pck_does_not_depend_on_the_batches():
    data = list(batches(BODY16))
    whole, parts = PCK(BODY16), PCK(BODY16)
    whole.update(*(torch.cat(column) for column in zip(*data, strict=True)))
    for batch in data:
        parts.update(*batch)
    assert {k: v.item() for k, v in whole.compute().items()} == {k: v.item() for k, v in parts.compute().items()}


@pytest.mark.parametrize("paper", [False, True])
def test_states_of_several_processes_are_merged(paper):
    data = list(batches(BODY16, sizes=(4, 3, 2, 5)))

    def metric(part):
        result = PaperPCK(BODY16) if paper else PCK(BODY16)
        for predicted, keypoints, visibility in part:
            result.update(encode(predicted, SIZE) if paper else predicted, keypoints, visibility)
        return result

    one, two = metric(data[:2]), metric(data[2:])
    one.merge_state(two)
    expected = metric(data).compute()
    for name, value in one.compute().items():
        torch.testing.assert_close(value, expected[name], equal_nan=True)


def test_an_unknown_variant_raises():
    with pytest.raises(Exception, match="variant"):
        PaperPCK(BODY16, variant="mine")

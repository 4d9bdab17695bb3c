"""Keypoint labels: exact moves, compared with a loop and with the ground truth in the student's view."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, augment_matrix, compose, invert
from hamipose.heatmaps import decode, encode
from hamipose.losses import consistency, heatmap_mse
from hamipose.methods import CGDM, MDAM, PGDA, SFHPE, HamiPose, MeanTeacher, UniFrame
from hamipose.methods.options import AdaptationOptions, TrainingOptions
from hamipose.methods.parts.keypoint_labels import encode_labels, keep_most_confident, mean_score, move_keypoints
from hamipose.methods.parts.label_views import LabelViews
from hamipose.methods.parts.target_labels import KeypointLabels
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.skeletons import BODY16
from hamipose.types import TargetBatch
from tests.helpers.pose_training import TINY, sgd, train

SIZE = 128
KEYPOINT = AdaptationOptions(labels="keypoint")
#: Views of student and teacher: rotation, scale, shift and whether mirrored.
VIEWS = [
    ((30.0, 1.1, (0.03, -0.02), False), (-20.0, 0.9, (0.0, 0.04), False)),
    ((-40.0, 1.0, (0.0, 0.05), True), (15.0, 1.2, (0.02, 0.0), False)),
    ((10.0, 0.9, (-0.04, 0.0), False), (50.0, 1.0, (0.0, 0.0), True)),
    ((25.0, 1.2, (0.0, 0.0), True), (-35.0, 1.1, (0.03, 0.03), True)),
]


def matrices(which: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([augment_matrix(SIZE, *view[which]) for view in VIEWS])).float()


def mirrored(which: int) -> torch.Tensor:
    return torch.tensor([view[which][3] for view in VIEWS])


def target(images: torch.Tensor) -> TargetBatch:
    return TargetBatch(
        images, images, matrices(0), matrices(1), mirrored(0), mirrored(1), [str(i) for i in range(len(images))]
    )


def in_view(which: int, points: torch.Tensor) -> torch.Tensor:
    """Return points of the plain crop in a view, with left and right exchanged if it is mirrored."""
    seen = torch.where(mirrored(which)[:, None, None], points[:, BODY16.mirror], points)
    return apply_points(matrices(which), seen)


@pytest.fixture
def joints() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(44, 84, (len(VIEWS), 16, 2))).float()


@pytest.mark.parametrize("quantize", [False, True])
def test_labels_equal_the_encoded_ground_truth_in_the_student_view(joints, quantize, monkeypatch: pytest.MonkeyPatch):
    """Compare decode, move, encode with encoding the moved ground truth, at any height of the peaks."""
    training = TrainingOptions(sigma=2.0, quantize=quantize)
    model = MeanTeacher(sgd, TINY, training, KEYPOINT)
    heights = torch.rand(len(VIEWS), 16, 1, 1) * 0.9 + 0.05
    seen = in_view(1, joints)
    if quantize:  # a quantized teacher only predicts whole cells: ground truth on cell centers of its view
        seen = (seen / 4).round() * 4
        joints = apply_points(invert(matrices(1)), seen)
        joints = torch.where(mirrored(1)[:, None, None], joints[:, BODY16.mirror], joints)
    heatmaps = heights * encode(seen, (SIZE, SIZE), quantize=quantize)
    monkeypatch.setattr(model.adaptation.teacher, "pseudo_label", lambda images: heatmaps)
    labels = model.adaptation.pseudo_label(target(torch.zeros(len(VIEWS), 3, SIZE, SIZE, dtype=torch.uint8)))
    expected = encode(in_view(0, joints), (SIZE, SIZE), quantize=quantize)
    if quantize:  # rounding may move a point at a cell's edge to the next cell
        assert (labels.heatmaps - expected).abs().amax((2, 3)).gt(1e-3).float().mean() < 0.05
    else:
        torch.testing.assert_close(labels.heatmaps, expected, atol=1e-3, rtol=0)
    assert labels.weight.shape == (len(VIEWS), 16, 1, 1)
    crossed = (mirrored(0) ^ mirrored(1))[:, None]
    peaks = heatmaps.amax((2, 3))
    torch.testing.assert_close(labels.weight[..., 0, 0], torch.where(crossed, peaks[:, BODY16.mirror], peaks))
    torch.testing.assert_close(labels.confidence, labels.weight[..., 0, 0].mean(0))


def test_labels_have_height_1_for_any_peak():
    points = (torch.randint(2, 30, (3, 16, 2)) + 0.5) * 4 - 0.5  # centers of cells
    for score in (0.01, 0.5, 1.0, 7.0):
        labels = encode_labels(points, torch.full((3, 16), score), (SIZE, SIZE), Encoding(2.0))
        torch.testing.assert_close(labels.heatmaps.amax((2, 3)), torch.ones(3, 16))
        torch.testing.assert_close(labels.weight.flatten(1), torch.full((3, 16), min(score, 1.0)))


def test_move_keypoints_round_trip(joints):
    there = compose(matrices(0), invert(matrices(1)))
    scores = torch.rand(len(VIEWS), 16) + 0.1
    sides = torch.tensor([True, True, False, True])
    moved = move_keypoints(joints, scores, there, sides, BODY16.mirror, (10**4, 10**4))
    back, again = move_keypoints(*moved, invert(there), sides, BODY16.mirror, (10**4, 10**4))
    inside = again > 0  # points outside the view are lost
    assert inside.float().mean() > 0.9
    torch.testing.assert_close(back[inside], joints[inside], atol=1e-3, rtol=0)
    torch.testing.assert_close(again[inside], scores[inside])


def test_move_keypoints_mirrored_twice_is_the_identity(joints):
    flip = torch.from_numpy(augment_matrix(SIZE, mirror=True)).float().expand(len(joints), 2, 3)
    scores, sides = torch.rand(len(joints), 16) + 0.1, torch.ones(len(joints), dtype=torch.bool)
    once = move_keypoints(joints, scores, flip, sides, BODY16.mirror, (SIZE, SIZE))
    assert not torch.allclose(once[0], joints)
    twice = move_keypoints(*once, flip, sides, BODY16.mirror, (SIZE, SIZE))
    torch.testing.assert_close(twice[0], joints, atol=1e-4, rtol=0)
    torch.testing.assert_close(twice[1], scores)


def test_move_keypoints_equals_a_loop():
    rng = np.random.default_rng(1)
    points = rng.uniform(-20, SIZE + 20, (6, 16, 2)).astype(np.float32)
    points[2, 3] = np.nan
    scores = rng.uniform(0.1, 1, (6, 16)).astype(np.float32)
    maps = np.stack([augment_matrix(SIZE, *v[0]) for v in (*VIEWS, VIEWS[0], VIEWS[1])]).astype(np.float32)
    sides = np.array([False, True, False, True, True, False])
    moved, kept = move_keypoints(
        *(torch.from_numpy(a) for a in (points, scores, maps, sides)), BODY16.mirror, (SIZE, SIZE)
    )
    outside = 0
    for n in range(6):
        for k in range(16):
            source = BODY16.mirror[k] if sides[n] else k
            x, y = maps[n, :, :2] @ points[n, source] + maps[n, :, 2]
            shown = -0.5 <= x <= SIZE - 0.5 and -0.5 <= y <= SIZE - 0.5
            outside += not shown
            assert kept[n, k].item() == pytest.approx(scores[n, source] if shown else 0.0)
            if shown:
                assert moved[n, k].tolist() == pytest.approx([x, y], abs=1e-3)
    assert 5 < outside < 90


def test_points_outside_the_view_have_no_weight_and_no_loss():
    points = torch.tensor([[[64.0, 64.0], [-1.0, 64.0], [64.0, 127.6], [math.nan, 3.0]]])
    moved = move_keypoints(
        points, torch.ones(1, 4), torch.eye(2, 3)[None], torch.tensor([False]), [0, 1, 2, 3], (SIZE, SIZE)
    )
    labels = encode_labels(*moved, (SIZE, SIZE), Encoding(2.0))
    assert labels.weight.flatten().tolist() == [1, 0, 0, 0]
    student = torch.rand(1, 4, 32, 32, requires_grad=True)
    losses = consistency(student, labels.heatmaps, labels.weight)
    losses.sum().backward()
    assert losses[1:].tolist() == [0, 0, 0]
    assert losses[0] > 0
    assert student.grad[0, 1:].abs().max() == 0


@pytest.mark.parametrize("discard", [0.0, 0.3, 0.5, 0.9])
def test_keep_most_confident_discards_the_lowest_scores_of_each_keypoint(discard: float):
    scores = torch.rand(20, 16)
    scores[:, 0] = 0  # this keypoint has no labels
    scores[:13, 1] = 0
    kept = keep_most_confident(scores, discard)
    for k in range(16):
        labels = sorted(float(v) for v in scores[:, k] if v > 0)
        expected = labels[int(discard * len(labels) + 1e-6) :]
        assert sorted(float(v) for v in kept[:, k] if v > 0) == expected


def test_keep_most_confident_keeps_equal_scores():
    """Test a tool with flags instead of scores."""
    assert keep_most_confident(torch.ones(8, 3), 0.5).min() == 1


def test_mean_score_only_counts_labels():
    scores = torch.tensor([[0.5, 0.0, 0.2], [0.0, 0.0, 0.6]])
    torch.testing.assert_close(mean_score(scores), torch.tensor([0.5, 0.0, 0.4]))


def test_gradients_only_reach_the_student(joints):
    model = HamiPose(sgd, TINY, TrainingOptions(), KEYPOINT)
    images = torch.randint(0, 256, (len(VIEWS), 3, SIZE, SIZE), dtype=torch.uint8)
    with torch.enable_grad():
        labels = model.adaptation.pseudo_label(target(images))
        heatmaps = model.network(normalize(images))
        consistency(heatmaps, labels.heatmaps, labels.weight).sum().backward()
    assert not any(part.requires_grad for part in labels)
    assert all(p.grad is None for p in model.adaptation.teacher.parameters())
    assert model.network.final.weight.grad is not None


def test_weight_per_keypoint_equals_weight_per_cell():
    maps, labels, weight = torch.rand(3, 4, 8, 8), torch.rand(3, 4, 8, 8), torch.rand(3, 4)
    torch.testing.assert_close(heatmap_mse(maps, labels, weight), heatmap_mse(maps, labels, weight[:, :, None, None]))


def test_resampled_heatmaps_lose_height_but_moved_keypoints_do_not(joints, monkeypatch: pytest.MonkeyPatch):
    """Compare both kinds of labels of the same teacher."""
    batch = target(torch.zeros(len(VIEWS), 3, SIZE, SIZE, dtype=torch.uint8))
    heatmaps = 0.5 * encode(in_view(1, joints), (SIZE, SIZE))
    heights = {}
    for labels in ("heatmap", "keypoint"):
        model = MeanTeacher(sgd, TINY, TrainingOptions(), AdaptationOptions(labels=labels))
        monkeypatch.setattr(model.adaptation.teacher, "pseudo_label", lambda images: heatmaps)
        taught = model.adaptation.pseudo_label(batch).heatmaps
        heights[labels] = float(taught.amax((2, 3)).mean())
        error_px = (decode(taught)[0] - in_view(0, joints)).abs().max()
        assert error_px < (1.5 if labels == "heatmap" else 0.01)
    assert heights["heatmap"] < 0.5 < 0.9 < heights["keypoint"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"discard_fraction": 0.5}, "labels is heatmap"),
        ({"labels": "keypoint", "discard_fraction": 1.0}, "below 1"),
    ],
)
def test_invalid_label_options_are_rejected(options: dict, says: str):
    with pytest.raises(ValueError, match=says):
        AdaptationOptions(**options)


@pytest.mark.parametrize("method", [UniFrame, MDAM, SFHPE])
def test_methods_with_own_labels_reject_label_options(method):
    with pytest.raises(UserError, match=f"adaptation.labels is keypoint, and {method.__name__}"):
        method(sgd, TINY, TrainingOptions(), KEYPOINT)


@pytest.mark.slow
@pytest.mark.parametrize("method", [MeanTeacher, HamiPose, CGDM, PGDA])
def test_methods_with_teacher_train_on_keypoint_labels(method, dots: Path, tmp_path: Path):
    views = LabelViews(mirror=True, rotations_deg=[10.0])
    options = AdaptationOptions(labels="keypoint", discard_fraction=0.5, label_views=views)
    model = method(sgd, TINY, TrainingOptions(warmup_steps=0), adaptation=options)
    seen = []
    encode_labels = model.adaptation.label_source

    def watched(teacher, batch):
        seen.append(encode_labels(teacher, batch))
        return seen[-1]

    model.adaptation.label_source = watched
    data = {"steps_per_epoch": 2, "student_views": "strong", "teacher_views": "hamipose"}
    train(model, dots, tmp_path, data)
    assert model.global_step == 2
    assert [labels.weight.shape for labels in seen] == [(4, 16, 1, 1)] * 2
    assert all((labels.weight > 0).sum(0).max() <= 2 for labels in seen), "half of four is dropped"


def test_heatmap_labels_are_the_default():
    assert AdaptationOptions().labels == "heatmap"
    model = HamiPose(sgd, TINY)
    assert not isinstance(model.adaptation.label_source, KeypointLabels)

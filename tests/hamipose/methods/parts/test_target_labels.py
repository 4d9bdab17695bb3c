"""Predicted labels that are wrong for one keypoint: encoded labels, and weights of the gate."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.data import CocoKeypoints, PredictedKeypoints, Unlabeled
from hamipose.data.sampling import BatchPosition, Pool, TrainingDataset, collate_training
from hamipose.data.views import Views
from hamipose.errors import UserError
from hamipose.gating import GateDecision
from hamipose.heatmaps import encode
from hamipose.losses import heatmap_mse
from hamipose.methods import CCSSL, HamiPose, MeanTeacher
from hamipose.methods.options import AdaptationOptions, TrainingOptions
from hamipose.methods.parts.keypoint_labels import move_keypoints
from hamipose.methods.teacher_student import DomainPass
from hamipose.skeletons import BODY16
from hamipose.types import TargetBatch
from tests.helpers.pose_training import TINY, sgd, train

SIZE = 64
WRISTS = BODY16.indices(("left_wrist", "right_wrist"))
CLEAN = [k for k in range(16) if k not in WRISTS]
PREDICTIONS = AdaptationOptions(labels="predictions")
TURNED = Views(rotation_deg=25.0, mirror=0.5, scale=(0.8, 1.0))


def predicted(dots: Path, path: Path, change=lambda points, scores: None) -> PredictedKeypoints:
    """Return the set of dark dots with the ground truth as predictions of score 0.9, modified by `change`."""
    content = json.loads((dots / "dark/annotations.json").read_text())
    for annotation in content["annotations"]:
        points, scores = np.array(annotation["keypoints"]).reshape(16, 3), np.full(16, 0.9)
        change(points, scores)
        annotation["keypoints"], annotation["keypoint_scores"] = points.ravel().tolist(), scores.tolist()
    path.write_text(json.dumps(content))
    return PredictedKeypoints(Unlabeled(CocoKeypoints(str(dots / "dark"), box="image")), str(path))


def batch_of(dots: Path, target: PredictedKeypoints) -> TargetBatch:
    source = Pool([CocoKeypoints(str(dots / "light"), box="image")], 0, 0)
    stream = TrainingDataset(source, Pool([target], 0, 1), BODY16.mirror, 16, SIZE, 0, Views(), TURNED, None)
    found = collate_training([stream[BatchPosition(0, i, True)] for i in range(16)]).target
    assert found is not None
    return found


def gate_of(dots: Path, tmp_path: Path, change, height: float = 0.95) -> GateDecision:
    """Return the gate of a step with a nearly correct network on both domains, so that only labels may be wrong.

    Its features are perfect detectors, a channel a joint, and its heatmaps are these times `height`: what is left to
    learn on both domains is the same, so that without mistakes all gradients agree.
    """
    target = batch_of(dots, predicted(dots, tmp_path / "p.json", change))
    clean = batch_of(dots, predicted(dots, tmp_path / "clean.json"))
    truth, seen = move_keypoints(
        clean.pseudo_keypoints_px, clean.pseudo_scores, clean.student_matrix, clean.student_mirrored,
        BODY16.mirror, (SIZE, SIZE),
    )  # fmt: skip
    features = encode(truth, (SIZE, SIZE), sigma=1.0, visible=seen > 0)
    model = HamiPose(sgd, TINY, TrainingOptions(sigma=1.0), PREDICTIONS)
    labels = model.adaptation.pseudo_label(target)

    def labeled(wanted: torch.Tensor, weight: torch.Tensor) -> DomainPass:
        heatmaps = (height * features).requires_grad_()
        return DomainPass(heatmap_mse(heatmaps, wanted, weight), heatmaps, features)

    source = labeled(features, (seen > 0).float())
    objective = model.adaptation.weight_losses(
        source, labeled(labels.heatmaps, labels.weight), labels.confidence, progress=1.0
    )
    torch.testing.assert_close(objective.confidence[CLEAN], torch.full((14,), 0.9))
    assert objective.gate is not None
    return objective.gate


def exchanged(points: np.ndarray, scores: np.ndarray) -> None:
    points[WRISTS] = points[WRISTS[::-1]]


def moved_away(points: np.ndarray, scores: np.ndarray) -> None:
    points[WRISTS, 0] += 0.2 * 48 * np.where(points[WRISTS, 0] < 24, 1, -1)


def doubted(points: np.ndarray, scores: np.ndarray) -> None:
    scores[WRISTS] = 0.2


def test_correct_labels_open_the_gate(dots: Path, tmp_path: Path):
    gate = gate_of(dots, tmp_path, lambda points, scores: None)
    assert gate.cosine.min() > 0.99
    assert gate.openness.min() > 0.8


@pytest.mark.parametrize("change", [exchanged, moved_away])
def test_wrong_labels_close_only_the_gate_of_their_keypoint(dots: Path, tmp_path: Path, change):
    """Check that the conflict is detected per keypoint: φ is 0, and the source has a larger weight."""
    right, wrong = gate_of(dots, tmp_path, lambda points, scores: None), gate_of(dots, tmp_path, change)
    assert wrong.cosine[WRISTS].max() < 0
    assert wrong.openness[WRISTS].max() == 0
    assert wrong.weight[WRISTS].min() > 1
    for name in ("cosine", "openness", "weight"):
        torch.testing.assert_close(getattr(wrong, name)[CLEAN], getattr(right, name)[CLEAN])


def test_gate_detects_wrong_labels_only_if_the_network_is_confident(dots: Path, tmp_path: Path):
    """A limit of the gate, from its equations.

    Both domains still ask for higher maps, and the rows' bias, which does not know where, says so on both: with
    Gaussians of sum S and sum of squares S/2, height h, and labels on other places,
    <g_s, g_t> = (1 - h) (1 - h - h/4) S². It is negative for h > 0.8 alone. Peaks of 0.5 hide a label that is wrong
    in every image.
    """
    cosines = [float(gate_of(dots, tmp_path, exchanged, height).cosine[WRISTS].mean()) for height in (0.5, 0.7, 0.9)]
    assert cosines[0] > cosines[1] > 0 > cosines[2]
    assert float(gate_of(dots, tmp_path, exchanged, 0.5).openness[WRISTS].mean()) > 0.4


def test_low_scores_lower_the_openness(dots: Path, tmp_path: Path):
    """Check correct labels with low scores: ρ stays 1, and φ falls with the scores."""
    target = batch_of(dots, predicted(dots, tmp_path / "p.json", doubted))
    labels = HamiPose(sgd, TINY, TrainingOptions(), PREDICTIONS).adaptation.pseudo_label(target)
    torch.testing.assert_close(labels.confidence[WRISTS], torch.full((2,), 0.2))
    right, unsure = gate_of(dots, tmp_path, lambda points, scores: None), gate_of(dots, tmp_path, doubted)
    assert unsure.cosine[WRISTS].min() > 0.99
    torch.testing.assert_close(unsure.openness[WRISTS], right.openness[WRISTS] * (0.2 / 0.9))


def test_missing_predictions_have_no_weight(dots: Path, tmp_path: Path):
    def missing(points: np.ndarray, scores: np.ndarray) -> None:
        scores[WRISTS[0]], points[WRISTS[0]] = 0, 0

    target = batch_of(dots, predicted(dots, tmp_path / "p.json", missing))
    for model in (
        MeanTeacher(sgd, TINY, adaptation=PREDICTIONS),
        HamiPose(sgd, TINY, adaptation=PREDICTIONS),
    ):
        labels = model.adaptation.pseudo_label(target)
        mirrored = target.student_mirrored
        assert labels.weight[mirrored, WRISTS[1]].max() == 0
        assert labels.weight[~mirrored, WRISTS[0]].max() == 0
        assert labels.weight[~mirrored, WRISTS[1]].max() == pytest.approx(0.9)
        assert all(part.isfinite().all() for part in labels)


def test_predicted_labels_update_the_teacher_statistics(dots: Path, tmp_path: Path):
    """Check that with batchnorm: target a teacher that does not label still updates its statistics."""
    options = AdaptationOptions(labels="predictions", batchnorm="target")
    model = MeanTeacher(sgd, TINY, adaptation=options)
    before = {k: v.clone() for k, v in model.adaptation.teacher.named_buffers() if "running" in k}
    model.adaptation.pseudo_label(batch_of(dots, predicted(dots, tmp_path / "p.json")))
    after = dict(model.adaptation.teacher.named_buffers())
    assert not any(torch.equal(after[k], v) for k, v in before.items())


def test_run_trains_on_predictions(dots: Path, tmp_path: Path):
    model = HamiPose(sgd, TINY, TrainingOptions(warmup_steps=0), PREDICTIONS)
    train(model, dots, tmp_path, {"target": [predicted(dots, tmp_path / "p.json")], "steps_per_epoch": 2})
    assert model.global_step == 2


def test_unused_or_missing_predictions_are_rejected(dots: Path, tmp_path: Path):
    carried = {"target": [predicted(dots, tmp_path / "p.json")]}
    for model, data, says in (
        (HamiPose(sgd, TINY), carried, "adaptation.labels is heatmap, which does not use them"),
        (CCSSL(sgd, TINY), carried, "CCSSL does not learn from"),
        (HamiPose(sgd, TINY, adaptation=PREDICTIONS), {}, "data.target has no predicted keypoints"),
    ):
        with pytest.raises(UserError, match=says):
            train(model, dots, tmp_path, data)

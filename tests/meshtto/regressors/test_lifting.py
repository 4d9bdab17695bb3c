"""The lifter reads 2D evidence, independently of box and image."""

from dataclasses import replace

import pytest
import torch

from hamipose.errors import UserError
from meshtto.camera import box_feature, crop_box
from meshtto.experiments.memory import random_people
from meshtto.joints import JOINTS49
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions, TestTimeOptions
from meshtto.regressors.lifting import KEYPOINT_FEATURES, keypoint_features
from meshtto.test_time import Adam, Phase
from meshtto.types import MeshBatch

OPTIONS = RegressorOptions(kind="lifter", backbone="mlp", width=16)


def people(count: int = 3) -> MeshBatch:
    torch.manual_seed(0)
    batch = random_people(count, (32, 32))
    batch.evidence_px = torch.rand(count, len(JOINTS49), 2) * 32
    batch.evidence_confidence = torch.rand(count, len(JOINTS49)).clamp(min=0.1)
    batch.evidence_confidence[:, ::3] = 0
    return batch


def features(batch: MeshBatch) -> torch.Tensor:
    return keypoint_features(batch, box_feature(crop_box(batch)))


def test_features_do_not_depend_on_missing_joints():
    batch = people()
    found = features(batch)
    assert found.shape == (3, KEYPOINT_FEATURES)
    moved = batch.evidence_px.clone()
    moved[:, ::3] = torch.nan
    assert torch.equal(features(replace(batch, evidence_px=moved)), found)


def test_joints_are_relative_to_their_own_extent():
    """Check that a moved and scaled person has the same joint features, and others that state the motion."""
    batch = people()
    before, after = features(batch), features(replace(batch, evidence_px=0.5 * batch.evidence_px + 4.0))
    points = 2 * len(JOINTS49)
    torch.testing.assert_close(after[:, :points], before[:, :points], atol=1e-5, rtol=1e-5)
    assert before[:, :points].abs().max() == pytest.approx(1.0)
    center, size = slice(-6, -4), slice(-4, -3)
    torch.testing.assert_close(after[:, size], before[:, size] + torch.tensor(0.5).log())
    # In half crops of 16 px; pixel 15.5 is the center of the crop.
    torch.testing.assert_close(after[:, center], 0.5 * before[:, center] + (0.5 * 15.5 + 4.0 - 15.5) / 16)


def test_no_evidence_is_finite():
    batch = people()
    batch.evidence_confidence[0] = 0
    assert features(batch).isfinite().all()


def test_predictions_depend_on_evidence_alone():
    method = Regression(torch.optim.Adam, OPTIONS).eval()
    batch = people()
    black = replace(batch, image=torch.zeros_like(batch.image))
    other = replace(batch, evidence_px=batch.evidence_px.flip(0))
    with torch.no_grad():
        assert torch.equal(method(batch).rotations, method(black).rotations)
        assert not torch.allclose(method(batch).rotations, method(other).rotations)


def test_lifter_adapts_to_evidence():
    """Check that adaptation of head and of all weights reduces the 2D error of each person."""
    torch.manual_seed(0)
    method = Regression(torch.optim.Adam, OPTIONS, test_time=TestTimeOptions([])).eval()
    batch = people()
    for scope in ("head", "all"):
        phase = Phase(20, Adam(1e-3), scope=scope, pseudo_mesh=False)
        losses = method.recover(batch, [phase]).losses
        assert (losses[-1] < losses[0]).all()


def test_training_without_vertices_has_the_same_gradient():
    """Check that a weight of 0 for vertices skips the mesh, and nothing else."""
    from meshtto.losses import LossWeights

    torch.manual_seed(0)
    method = Regression(torch.optim.Adam, OPTIONS, loss=LossWeights(vertices=0.0)).eval()
    batch = people()
    short = method.objective(batch)["loss"]
    long = method.supervised(method(batch), batch)
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize(("backbone", "weights"), [("resnet18", "none"), ("mlp", "pretrained")])
def test_lifter_rejects_other_backbones(backbone: str, weights: str):
    with pytest.raises(UserError, match=r"expected (mlp|none)"):
        Regression(torch.optim.Adam, RegressorOptions(kind="lifter", backbone=backbone, weights=weights, width=16))

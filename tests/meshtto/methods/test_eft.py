"""EFT: the training loss of Regression, and two additional terms at test time."""

from typing import Any

import pytest
import torch

from meshtto.data.sampling import MeshCrops, collate
from meshtto.losses import LossWeights, lower_leg_loss, parameter_loss
from meshtto.methods.targets import crop_size, target_from_evidence
from meshtto.types import MeshBatch


@pytest.fixture
def batch(tiny: Any) -> MeshBatch:
    crops = MeshCrops(tiny.DotMeshes(3, 5), (32, 32))
    return collate([crops[i] for i in range(3)])


def of(tiny: Any, name: str) -> Any:
    torch.manual_seed(0)
    return tiny.model({"method": name, "dropout": 0.0}).train()


def test_eft_trains_on_the_regression_loss(tiny: Any, batch: MeshBatch):
    eft, regression = of(tiny, "EFT"), of(tiny, "Regression")
    assert eft.loss_weights == regression.loss_weights == LossWeights()
    mine, theirs = eft.objective(batch), regression.objective(batch)
    assert mine.keys() == theirs.keys() == {"loss"}
    assert torch.equal(mine["loss"], theirs["loss"])
    mine["loss"].backward()
    theirs["loss"].backward()
    for (name, p), q in zip(eft.named_parameters(), regression.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_eft_adapts_with_two_additional_terms(tiny: Any, batch: MeshBatch):
    eft = of(tiny, "EFT").eval()
    (phase,) = eft.test_time.phases
    target, made = target_from_evidence(batch), eft(batch)
    more = eft.value(made, target, batch, phase) - eft.value(made, target, batch)
    prior = parameter_loss(made.shape, torch.zeros_like(made.shape))
    legs = lower_leg_loss(made.keypoints_px, target.keypoints_px, target.lower_legs, crop_size(batch))
    torch.testing.assert_close(more, 0.001 * prior + 0.005 * legs, atol=1e-5, rtol=1e-3)
    assert (legs > 0).all()

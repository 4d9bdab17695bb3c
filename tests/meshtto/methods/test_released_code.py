"""The config of the released code, compared with an independent loop that does the same evaluation."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from hamipose.models.preprocess import normalize
from meshtto.camera import crop_box
from meshtto.data.sampling import MeshCrops, collate
from meshtto.joints import OPENPOSE25
from meshtto.methods import Dual
from meshtto.methods.meta import adapted_prediction
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, TestTimeOptions
from meshtto.methods.recover import detach_prediction
from meshtto.methods.targets import crop_size, target_from_evidence
from meshtto.test_time import SGD, Adam, Phase
from meshtto.types import BodyPrediction, MeshBatch

CONFIG = Path(__file__).parents[3] / "configs" / "meshtto" / "released_code.yaml"
HEAD_LR, ALL_LR = 1e-3, 1e-3  # 100 times the published rates, for visible changes


def options_of(config: Path) -> tuple[TestTimeOptions, Phase]:
    """Return the config's options of test time and of the inner step."""
    content = yaml.safe_load(config.read_text())["model"]["init_args"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TestTimeOptions, "test_time")
    parser.add_class_arguments(Phase, "inner")
    built = parser.instantiate_classes(parser.parse_object({k: content[k] for k in ("test_time", "inner")}))
    return built.test_time, built.inner


@pytest.fixture(scope="module")
def test_time() -> TestTimeOptions:
    options, _ = options_of(CONFIG)
    return options


@pytest.fixture
def method(test_time: TestTimeOptions) -> Dual:
    torch.manual_seed(0)
    return Dual(
        torch.optim.Adam,
        RegressorOptions(backbone="test_resnet", width=16, iterations=3, dropout=0.0),
        AuxiliaryOptions(iterations=2),
        test_time=test_time,
    ).eval()


@pytest.fixture
def batch(tiny: Any) -> MeshBatch:
    crops = MeshCrops(tiny.DotMeshes(3, 5), (32, 32))
    return collate([crops[i] for i in range(3)])


def plain_terms(made: BodyPrediction, batch: MeshBatch, pseudo: BodyPrediction) -> tuple[torch.Tensor, torch.Tensor]:
    """Return L_2D and the full loss of a completely labeled batch."""
    confidence = batch.evidence_confidence.clone()
    confidence[:, : len(OPENPOSE25)] = 0
    half = torch.tensor([batch.image.shape[-1] / 2, batch.image.shape[-2] / 2])
    squares = ((made.keypoints_px - batch.evidence_px) / half).square()
    keypoints = (confidence[..., None] * squares).mean()

    def centered(joints: torch.Tensor) -> torch.Tensor:
        truth = joints[:, len(OPENPOSE25) :]
        return truth - truth[:, [2, 3]].mean(1, keepdim=True)

    full = (
        0.5 * (made.vertices_m - pseudo.vertices_m).abs().mean()
        + 5 * keypoints
        + 5 * (centered(made.joints_m) - centered(pseudo.joints_m)).square().mean()
        + (made.rotations - pseudo.rotations).square().mean()
        + 0.001 * (made.shape - pseudo.shape).square().mean()
        + torch.exp(-10 * made.camera[:, 0]).square().mean()
    )
    return keypoints, full


def plain_evaluation(method: Dual, batch: MeshBatch, tolerance: float) -> tuple[BodyPrediction, int]:
    """Take one step of the head on the full loss, then Adam steps of all weights on L_2D until it converges."""
    network, pseudo = copy.deepcopy(method.regressor), detach_prediction(method.pseudo(batch))
    images, box, size = normalize(batch.image), crop_box(batch), crop_size(batch)

    def predict() -> BodyPrediction:
        return method.complete(network(images, network.box_features(box)), box, size)

    optimizer = torch.optim.Adam(network.parameters(), lr=ALL_LR, betas=(0.9, 0.999))
    _, previous = plain_terms(predict(), batch, pseudo)
    head = list(network.head.parameters())
    with torch.no_grad():
        for parameter, gradient in zip(head, torch.autograd.grad(previous, head), strict=True):
            parameter -= HEAD_LR * gradient
    step = 0
    while step < 14:
        step += 1
        keypoints, _ = plain_terms(predict(), batch, pseudo)
        optimizer.zero_grad()
        keypoints.backward()
        optimizer.step()
        if abs(float(previous.detach() - keypoints.detach())) < tolerance:
            break
        previous = keypoints
    return detach_prediction(predict()), step


def faster(phases: list[Phase]) -> list[Phase]:
    first, second = phases
    assert (type(first.rule), first.rule.lr, type(second.rule), second.rule.lr) == (SGD, 1e-5, Adam, 1e-5)
    return [replace(first, rule=SGD(HEAD_LR)), replace(second, rule=Adam(ALL_LR))]


@pytest.mark.parametrize("rest", [0.0, 0.6])
def test_recover_equals_released_evaluation(method: Dual, batch: MeshBatch, test_time: TestTimeOptions, rest: float):
    """Compare all steps, and stopping by the tolerance, with the options of the config."""
    assert test_time.tolerance == 2e-5
    phases = faster(test_time.phases)
    free = method.recover(batch, phases, tolerance=None)
    changes = free.losses[1:].mean(1).diff().abs()  # of L_2D only: the first row is the full loss
    tolerance = float(changes.quantile(rest)) if rest else 0.0
    wanted, steps = plain_evaluation(method, batch, tolerance)
    found = method.recover(batch, phases, tolerance=tolerance)
    assert found.steps.tolist() == [1 + steps] * 3
    assert (1 < steps < 14) == bool(rest)
    for mine, theirs in zip(found.prediction, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)
    assert (found.prediction.keypoints_px - method(batch).keypoints_px).abs().max() > 0.05


def test_recover_losses_are_full_loss_then_l2d(method: Dual, batch: MeshBatch, test_time: TestTimeOptions):
    found = method.recover(batch, faster(test_time.phases), tolerance=None)
    with torch.no_grad():
        keypoints, full = plain_terms(method(batch), batch, method.pseudo(batch))
    assert float(found.losses[0].mean()) == pytest.approx(float(full), rel=1e-4)
    # After one small step of the head, L_2D has hardly changed, and is far from 5 L_2D + L_cam.
    assert float(found.losses[1].mean()) == pytest.approx(float(keypoints), rel=0.2)


@pytest.mark.parametrize("phase", [0, None], ids=["test time", "inner step"])
def test_masked_pseudo_mesh_is_ignored_without_labels(
    method: Dual, batch: MeshBatch, test_time: TestTimeOptions, phase: int | None
):
    """Check that mesh terms need a mesh label and joint terms a joint label, for each image."""
    masked = test_time.phases[0] if phase == 0 else options_of(CONFIG)[1]
    assert masked.masked
    batch.has_mesh[1:] = False
    batch.joints_confidence[2] = 0
    pseudo = detach_prediction(method.pseudo(batch))
    values = {
        name: method.value(method(batch), target, batch).detach()
        for name, target in {
            "nothing": target_from_evidence(batch),
            "masked": target_from_evidence(batch, pseudo, masked=True),
            "everything": target_from_evidence(batch, pseudo),
        }.items()
    }
    assert values["masked"][0] == values["everything"][0] > values["nothing"][0]
    assert values["nothing"][1] < values["masked"][1] < values["everything"][1]
    assert values["nothing"][2] == values["masked"][2] < values["everything"][2]


def test_masked_applies_to_recovery_and_training(method: Dual, batch: MeshBatch):
    """Check that without labels the auxiliary network has no effect; with labels or without masks it has."""

    def outcomes(phase: Phase) -> list[torch.Tensor]:
        recovered = method.recover(batch, [phase], tolerance=None).prediction.keypoints_px
        pseudo = detach_prediction(method.pseudo(batch)) if phase.pseudo_mesh else None
        target = target_from_evidence(batch, pseudo, masked=phase.masked)
        return [recovered, adapted_prediction(method, batch, phase, target, False).keypoints_px.detach()]

    masked = Phase(1, SGD(1e-2), masked=True)
    with_labels = outcomes(masked)
    batch.has_mesh[:] = False
    batch.joints_confidence[:] = 0
    alone = outcomes(replace(masked, pseudo_mesh=False))
    for found, wanted in zip(outcomes(masked), alone, strict=True):
        torch.testing.assert_close(found, wanted)
    for other in (with_labels, outcomes(replace(masked, masked=False))):
        assert all((a - b).abs().max() > 1e-4 for a, b in zip(other, alone, strict=True))


def test_objective_respects_the_inner_mask(method: Dual, batch: MeshBatch):
    batch.has_mesh[:] = False
    batch.joints_confidence[:] = 0
    losses = []
    for inner in (Phase(1, SGD(1e-1), masked=True), Phase(1, SGD(1e-1), pseudo_mesh=False), Phase(1, SGD(1e-1))):
        method.inner = inner
        losses.append(float(method.objective(batch)["loss"].detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-6)

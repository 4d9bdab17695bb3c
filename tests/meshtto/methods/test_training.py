"""Mesh methods: trained and frozen parts, recovery without side effects, and written files."""

import copy
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from hamipose.errors import UserError
from meshtto.camera import crop_box
from meshtto.data.sampling import MeshCrops, collate
from meshtto.joints import JOINTS49
from meshtto.methods.checkpoint import load, load_networks
from meshtto.methods.options import TestTimeOptions
from meshtto.test_time import SGD, Adam, Phase

pytestmark = pytest.mark.slow


def batch_of(tiny: Any, count: int = 3, mesh: bool = True) -> Any:
    crops = MeshCrops(tiny.DotMeshes(count, 5, mesh), (32, 32))
    return collate([crops[i] for i in range(count)])


def method_of(tiny: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return tiny.model({"method": "Dual", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"method": "Regression", "kind": "hmr"},
        {"method": "Meta"},
        {"method": "Meta", "inner": "shared"},
        {"method": "Meta", "scope": "all"},
        {"method": "Dual"},
        {"method": "Dual", "second_order": True},
    ],
    ids=lambda o: " ".join(str(v) for v in o.values()),
)
def test_training_updates_every_network(tiny, options: dict[str, Any]):
    """Check that each parameter of an estimate has a gradient, and that the objective is finite."""
    method = method_of(tiny, **options).train()
    values = method.objective(batch_of(tiny))
    sum(values.values()).backward()
    assert all(value.isfinite() for value in values.values())
    for name, parameter in method.trainable_parts().named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # (timm's residual branches start with a factor of 0, so the first step does not change all of a backbone.)
    for network in method.trainable_parts().values():
        assert all(p.grad.any() for p in network.head.parameters())
        assert network.backbone.get_submodule("conv1")[0].weight.grad.any()


def test_dual_first_order_auxiliary_learns_only_from_its_loss(tiny):
    """Check also that without that loss it only learns by second order."""
    batch = batch_of(tiny)
    for second_order in (False, True):
        method = method_of(tiny, second_order=second_order).eval()
        method.auxiliary_loss = False
        values = method.objective(batch)
        assert list(values) == ["loss"]
        values["loss"].backward()
        assert any(p.grad is not None and p.grad.any() for p in method.auxiliary.parameters()) == second_order


def test_training_ignores_missing_labels(tiny):
    """Train on samples without a mesh, or without any 2D joint."""
    batch = batch_of(tiny, mesh=False)
    batch.evidence_confidence[1:] = 0
    batch.keypoints_confidence[2] = 0
    for method in ("Regression", "Meta", "Dual"):
        values = method_of(tiny, method=method).objective(batch)
        assert all(value.isfinite() for value in values.values())


def test_projection_agrees_between_modules(tiny):
    """Check that ground truth has no 2D loss: crop, box, camera and body have consistent frames."""
    batch, method = batch_of(tiny), method_of(tiny)
    box = crop_box(batch)
    # The data have the pelvis at (0.1, 0.2, 5) m before the full image's camera: invert CLIFF's equation.
    scale = 2 * box.focal_px / (box.side_px * 5.0)
    shift = 2 * (box.center_px - box.principal_px) / (box.side_px * scale)[:, None]
    camera = torch.cat([scale[:, None], torch.tensor([[0.1, 0.2]]) - shift], 1)
    from meshtto.regressors import Estimate

    seen = method.complete(Estimate(batch.rotations, batch.shape, camera), box, (32, 32))
    torch.testing.assert_close(seen.keypoints_px, batch.keypoints_px, atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ["Meta", "Dual", "EFT"])
def test_recover_does_not_modify_the_method(tiny, name: str):
    method, batch = method_of(tiny, method=name).eval(), batch_of(tiny)
    state = copy.deepcopy(method.state_dict())
    modes = [module.training for module in method.modules()]
    labels = copy.deepcopy(vars(batch))
    phases = [Phase(2, SGD(1e-3)), Phase(1, Adam(1e-4), scope="all", pseudo_mesh=False)]
    first = method.recover(batch, phases)
    again = method.recover(batch, phases)
    torch.testing.assert_close(first.prediction.vertices_m, again.prediction.vertices_m)
    assert (first.prediction.keypoints_px - method(batch).keypoints_px).abs().max() > 1e-3
    assert first.losses.shape == (3, 3)
    assert not first.prediction.vertices_m.requires_grad
    for key, value in method.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert modes == [module.training for module in method.modules()]
    assert all(p.grad is None for p in method.parameters())
    for key, value in vars(batch).items():
        assert value is labels[key] or not isinstance(value, torch.Tensor) or torch.equal(value, labels[key]), key


@pytest.mark.parametrize("scope", ["head", "all"])
def test_recover_batch_equals_single_people_in_inference_mode(tiny, scope: str):
    method, batch = method_of(tiny).eval(), batch_of(tiny)
    phases = [Phase(1, SGD(1e-3), scope=scope)]  # type: ignore[arg-type]
    with torch.inference_mode():
        together = method.recover(batch, phases).prediction
    for j in range(2):
        alone = method.recover(collate([MeshCrops(tiny.DotMeshes(3, 5), (32, 32))[j]]), phases).prediction
        torch.testing.assert_close(together.keypoints_px[j], alone.keypoints_px[0], atol=1e-3, rtol=1e-4)


def test_recover_does_not_read_labels(tiny):
    method, batch = method_of(tiny).eval(), batch_of(tiny)
    expected = method.recover(batch, [Phase(1, SGD(1e-3))]).prediction
    for name in ("keypoints_px", "joints_m", "rotations", "shape"):
        getattr(batch, name).fill_(float("nan"))
    found = method.recover(batch, [Phase(1, SGD(1e-3))]).prediction
    torch.testing.assert_close(found.vertices_m, expected.vertices_m)


def test_run_writes_curves_with_protocol(tiny, tmp_path: Path):
    options = {
        "method": "Dual",
        "out": str(tmp_path),
        "epochs": 1,
        "steps": 2,
        "test_time": TestTimeOptions([Phase(1, SGD(1e-3)), Phase(1, SGD(1e-3), pseudo_mesh=False)]),
    }
    trainer, method, data = tiny.trainer(options), tiny.model(options), tiny.data(options)
    trainer.fit(method, data)
    trainer.test(method, data, verbose=False)
    scores = json.loads((tmp_path / "scores-test.json").read_text())
    assert scores["protocol"]["evidence"] == "val: truth, test/dots: truth"
    assert scores["protocol"]["alignment"].startswith("similarity")
    curve = scores["sets"]["test/dots"]["against_steps"]
    assert {len(c) for c in curve.values()} == {3}
    assert curve["mpjpe"][0] != curve["mpjpe"][-1]
    assert float(trainer.callback_metrics["test/dots/mpjpe"]) == pytest.approx(curve["mpjpe"][-1], abs=1e-2)

    loaded = load(tmp_path / "checkpoints" / "last.ckpt")
    batch = batch_of(tiny)
    torch.testing.assert_close(loaded(batch).vertices_m, method.eval()(batch).vertices_m)

    meta = tiny.model({"method": "Meta", "init_from": str(tmp_path / "checkpoints" / "last.ckpt")})
    load_networks(meta)
    torch.testing.assert_close(meta.eval()(batch).vertices_m, loaded(batch).vertices_m)
    other = tiny.model({"method": "Dual", "kind": "hmr", "init_from": str(tmp_path / "checkpoints" / "last.ckpt")})
    with pytest.raises(UserError, match="does not match the regressor"):
        load_networks(other)
    with pytest.raises(UserError, match="of another model"):
        other.on_load_checkpoint(torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True))


@pytest.mark.parametrize("copied", [False, True])
def test_dual_logs_correlation_of_errors_and_warns_of_copies(tiny, tmp_path: Path, copied: bool):
    options = {"method": "Dual", "out": str(tmp_path), "epochs": 1, "steps": 1}
    trainer, method, data = tiny.trainer(options), tiny.model(options), tiny.data(options)
    if copied:
        method.auxiliary.load_state_dict(method.regressor.state_dict())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(method, data)
    logged = float(trainer.callback_metrics["val/error_correlation"])
    crops = MeshCrops(data.validation, (32, 32))
    batch = collate([crops[i] for i in range(len(data.validation))])
    with torch.no_grad():
        truth = method.body.evaluation_joints(method.bodies.label_vertices(batch.rotations, batch.shape, batch.gender))
        errors = [
            (method.body.evaluation_joints(method.predict_with(network, batch).vertices_m) - truth).flatten()
            for network in method.eval().trainable_parts().values()
        ]
    assert logged == pytest.approx(float(torch.corrcoef(torch.stack(errors))[0, 1]), abs=1e-3)
    assert any("repeats the regressor's own errors" in str(w.message) for w in caught) == (logged > 0.9)
    assert not copied or logged > 0.99


def test_diverged_adaptations_are_counted_and_undone(tiny, tmp_path: Path):
    """Check too large steps: all scores are those of the unadapted network, and the result counts the steps."""
    phases = [Phase(2, SGD(1e6), pseudo_mesh=False)]
    options = {"method": "Meta", "out": str(tmp_path), "epochs": 1, "steps": 2, "test_time": TestTimeOptions(phases)}
    trainer, method, data = tiny.trainer(options), tiny.model(options), tiny.data(options)
    trainer.test(method, data, verbose=False)
    found = json.loads((tmp_path / "scores-test.json").read_text())["sets"]["test/dots"]
    assert found["people"] == {"recovered": 7, "diverged": 7}
    assert float(trainer.callback_metrics["test/dots/diverged"]) == 7
    for curve in found["against_steps"].values():
        assert curve == pytest.approx([curve[0]] * 3)
    batch = batch_of(tiny)
    method.eval()
    recovery = method.recover(batch, [Phase(2, SGD(1e6), pseudo_mesh=False)])
    assert recovery.diverged.all()
    torch.testing.assert_close(recovery.prediction.vertices_m, method(batch).vertices_m)
    clipped = method.recover(batch, [Phase(2, SGD(1e6, clip_norm=1e-8), pseudo_mesh=False)])
    assert not clipped.diverged.any()


@pytest.mark.parametrize("second_order", [False, True])
def test_training_uses_diverged_images_without_the_step(tiny, second_order: bool):
    """Check that the gradient of diverged images is that without an inner step."""
    batch = batch_of(tiny)
    gradients = []
    for phase in (Phase(1, SGD(1e6), pseudo_mesh=False), Phase(0, pseudo_mesh=False)):
        method = method_of(tiny, method="Meta", second_order=second_order).eval()
        method.inner = phase
        method.objective(batch)["loss"].backward()
        gradients.append([p.grad for p in method.parameters()])
        assert float(method._diverged) == 3 * phase.steps
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference)


def test_eft_stops_once_the_2d_error_is_small(tiny):
    """Check that each image stops at the given 2D error; ankles only count by the direction of the lower leg."""
    method, batch = method_of(tiny, method="EFT").eval(), batch_of(tiny)
    assert method.test_time.enough_2d == 2e-4
    (phase,) = method.test_time.phases
    assert phase.loss == {"shape_prior": 0.001, "lower_legs": 0.005}
    phases = [dataclasses.replace(phase, steps=3, rule=Adam(1e-6))]
    assert method.recover(batch, phases).steps.tolist() == [3, 3, 3]
    now = method(batch)
    batch.evidence_px = now.keypoints_px.detach().clone()
    batch.evidence_px[1] += 3.0
    assert method.recover(batch, phases).steps.tolist() == [0, 3, 0]
    ankle = JOINTS49.index("left_ankle")
    batch.evidence_px[1, ankle] += torch.tensor([9.0, 0.0])
    with_leg = method.recover(batch, phases).losses[0, 1]
    phases = [dataclasses.replace(phases[0], loss={"shape_prior": 0.001})]
    without = method.recover(batch, phases).losses[0, 1]
    assert with_leg > without
    batch.evidence_px[1, ankle] += 9.0
    torch.testing.assert_close(method.recover(batch, phases).losses[0, 1], without)


def test_bfloat16_training_adapts_in_single_precision(tiny):
    """Check that only the backbone is rounded: bfloat16 cannot represent a step of 1e-5."""
    method, batch = method_of(tiny, dropout=0.0).eval(), batch_of(tiny)
    with torch.autocast("cpu", torch.bfloat16):
        values = method.objective(batch)
        still = method.recover(batch, []).prediction
        moved = method.recover(batch, [Phase(1, SGD(1e-5))]).prediction
    assert all(value.dtype == torch.float32 and value.isfinite() for value in values.values())
    difference = (moved.camera - still.camera).abs().max()
    assert 0 < difference < 1e-2
    sum(values.values()).backward()
    assert method.regressor.head.fc1.weight.grad.isfinite().all()


def test_check_phases_rejects_invalid_phases(tiny):
    phases = [Phase(1, SGD(1e-3), scope="all"), Phase(1, SGD(1e-3))]
    with pytest.raises(UserError, match='scope "head" follows'):
        tiny.model({"method": "Dual", "test_time": TestTimeOptions(phases)})
    phases = [Phase(1, SGD(1e-3)), Phase(1, SGD(1e-3), inner="shared")]
    with pytest.raises(UserError, match='inner "shared" follows one of inner "image"'):
        tiny.model({"method": "Dual", "test_time": TestTimeOptions(phases)})
    tiny.model({"method": "Dual", "test_time": TestTimeOptions(phases[::-1])})
    with pytest.raises(UserError, match="'left_elbo'"):
        tiny.model({"method": "Dual", "test_time": TestTimeOptions(ignored_joints=["left_elbo"])})


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "bf16-true", "64-true"])
def test_setup_rejects_unsupported_precisions(tiny, precision: str):
    method = tiny.model({"method": "Regression"})
    method._trainer = Trainer(accelerator="cpu", precision="32-true", logger=False)
    method.setup("fit")
    method._trainer = type("T", (), {"precision": precision})()
    with pytest.raises(UserError, match=f"trainer.precision is {precision}; expected 32-true or bf16-mixed"):
        method.setup("fit")


def test_setup_accepts_lightning_precision_aliases():
    names = {Trainer(accelerator="cpu", precision=p, logger=False).precision for p in (None, 32, "32", "bf16")}
    assert names == {"32-true", "bf16-mixed"}

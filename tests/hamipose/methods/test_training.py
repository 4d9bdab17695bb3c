"""Training step of tiny networks: laws of the gate, logging and schedules."""

import functools
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from hamipose.engine.optimization import parameter_groups, warmup_cosine
from hamipose.errors import UserError
from hamipose.gating import KeypointGate, OpenGate
from hamipose.methods import HamiPose, MeanTeacher, SourceOnly
from hamipose.methods.options import AdaptationOptions, TrainingOptions
from hamipose.methods.teacher_student import Adaptation
from hamipose.models.preprocess import normalize
from tests.helpers.pose_training import TINY, have_equal_weights, make_data, make_trainer, sgd, train


def test_hamipose_with_open_gate_is_a_mean_teacher(dots: Path, tmp_path: Path):
    networks = []
    for build in (lambda: HamiPose(sgd, TINY, gate=OpenGate()), lambda: MeanTeacher(sgd, TINY)):
        torch.manual_seed(0)
        model = build()
        train(model, dots, tmp_path)
        networks.append(model)
    assert have_equal_weights(networks[0].network, networks[1].network)
    torch.manual_seed(0)
    gated = HamiPose(sgd, TINY, gate=KeypointGate())
    train(gated, dots, tmp_path)
    assert not have_equal_weights(gated.network, networks[0].network)


def test_zero_target_weight_only_changes_batchnorm(dots: Path, tmp_path: Path):
    """Check λ = 0: w = 1, and the parameters are those of source-only training."""
    networks = []
    for build in (
        lambda: SourceOnly(sgd, TINY),
        lambda: HamiPose(sgd, TINY, adaptation=AdaptationOptions(target_weight=0.0)),
    ):
        torch.manual_seed(0)
        model = build()
        train(model, dots, tmp_path)
        networks.append(model.network)
    for (name, a), (_, b) in zip(*(n.named_parameters() for n in networks), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


def test_step_is_the_gradient_of_the_weighted_losses(dots: Path, tmp_path: Path):
    """Compare one SGD step with the gated gradient computed by a backward pass for each keypoint."""
    torch.manual_seed(0)
    target_weight = 0.7
    model = HamiPose(
        sgd, TINY, TrainingOptions(warmup_steps=0), AdaptationOptions(target_weight=target_weight, gate_warmup=0.0)
    )
    data = make_data(dots, steps_per_epoch=1)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    torch.nn.init.normal_(model.network.final.weight, std=0.1)
    model.adaptation.teacher.reset(model.network)
    model.adaptation.teacher.network.final.bias.data += 0.3  # a teacher that disagrees, with some confidence
    before = {k: v.clone() for k, v in model.network.named_parameters()}

    model.network.train()
    buffers = {k: v.clone() for k, v in model.network.named_buffers()}
    source = model.forward_source(batch.source)
    features = model.network.features(normalize(batch.target.student))
    heatmaps = model.network.final(features)
    taught, known, confident = model.adaptation.pseudo_label(batch.target)
    target = 0.5 * (known * (heatmaps - taught).square()).sum((0, 2, 3)) / heatmaps.numel()
    final = (model.network.final.weight, model.network.final.bias)
    weights = []
    for k in range(16):
        gs, gt = (
            torch.cat([g[k].flatten() for g in torch.autograd.grad(loss[k], final, retain_graph=True)])
            for loss in (source.losses, target)
        )
        rho = torch.dot(gs, gt) / (gs.norm() * gt.norm())
        phi = torch.tanh(2 * rho).clamp(min=0) * confident[k]
        weights.append(1 - target_weight * (1 - phi) * torch.dot(gs, gt) / torch.dot(gs, gs))
    total = (torch.stack(weights) * source.losses).sum() + target_weight * target.sum()
    expected = dict(zip(before, torch.autograd.grad(total, list(model.network.parameters())), strict=True))
    assert (torch.stack(weights) - 1).abs().max() > 0.01

    for k, v in model.network.named_buffers():
        v.copy_(buffers[k])
    make_trainer(tmp_path).fit(model, data)
    for name, parameter in model.network.named_parameters():
        torch.testing.assert_close(parameter, before[name] - 0.1 * expected[name], rtol=1e-4, atol=1e-7)


def test_teacher_and_metric_use_the_applied_increment(dots: Path, tmp_path: Path):
    model = HamiPose(sgd, TINY, adaptation=AdaptationOptions(ema_decay=0.9), metric="diagonal")
    start = {k: v.clone() for k, v in model.network.named_parameters()}
    train(model, dots, tmp_path, data={"steps_per_epoch": 1})
    for name, taught in model.adaptation.teacher.network.named_parameters():
        now = dict(model.network.named_parameters())[name]
        torch.testing.assert_close(taught, 0.9 * start[name] + 0.1 * now, rtol=1e-5, atol=1e-7)
    moved = model.network.final.weight.flatten(1) - start["final.weight"].flatten(1)
    torch.testing.assert_close(model.adaptation.metric.average[:, :-1], 0.01 * moved.square(), rtol=1e-3, atol=1e-12)


def test_pretraining_uses_only_the_source_and_ends_with_an_equal_teacher(dots: Path, tmp_path: Path):
    seen = []

    class Spy(HamiPose):
        def objective(self, batch):
            if self.global_step == 3:
                seen.append(have_equal_weights(self.network, self.adaptation.teacher.network))
            seen.append(batch.target is None)
            return super().objective(batch)

    train(Spy(sgd, TINY, adaptation=AdaptationOptions(pretrain_steps=3)), dots, tmp_path, data={"steps_per_epoch": 5})
    assert seen == [True, True, True, True, False, False]


def test_gate_warm_up_counts_from_the_end_of_pretraining(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    progress = []
    compute = Adaptation.gate_progress

    def gate_progress(self: Adaptation, step: int, total: float) -> float:
        progress.append(compute(self, step, total))
        return progress[-1]

    monkeypatch.setattr(Adaptation, "gate_progress", gate_progress)
    options = AdaptationOptions(pretrain_steps=2, gate_warmup=0.5)
    train(HamiPose(sgd, TINY, adaptation=options), dots, tmp_path, data={"steps_per_epoch": 6})
    assert progress == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_supported_precisions_train_and_score(dots: Path, tmp_path: Path, precision: str):
    model = HamiPose(sgd, TINY)
    trainer = train(model, dots, tmp_path, precision=precision)
    scores = trainer.callback_metrics
    assert {"val/pck", "val/student/pck@0.05", "val/teacher/pck@0.1/elbow", "test/dark/teacher/pck@0.05"} <= set(scores)
    assert scores["val/pck"] == scores["val/teacher/pck@0.05"]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_loss_scaling_is_rejected(dots: Path, tmp_path: Path):
    trainer = make_trainer(tmp_path)
    trainer.strategy.precision_plugin.precision = "16-mixed"
    with pytest.raises(UserError, match="16-mixed"):
        trainer.fit(SourceOnly(sgd, TINY), make_data(dots))


def test_compiled_training_equals_training(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trace forward and backward pass without code generation, which needs a compiler and minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    ends = []
    for compiled in (True, False):
        torch.manual_seed(0)
        model = HamiPose(sgd, replace(TINY, compile=compiled))
        train(model, dots, tmp_path)
        ends.append(model.state_dict())
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-4, atol=1e-6, msg=name)


# ---------------------------------------------------------------------------------------------------- what is logged


def test_mean_teacher_logs_conflicts(dots: Path, tmp_path: Path):
    logger = CSVLogger(tmp_path, name="", version="run")
    train(MeanTeacher(sgd, TINY), dots, tmp_path, logger=logger)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    header = rows[0].split(",")
    logged = [dict(zip(header, row.split(","), strict=True)) for row in rows[1:]]
    steps = [row for row in logged if row["train/source_loss"]]
    assert [row["step"] for row in steps] == ["2", "4"]
    for row in steps:
        assert 0 <= float(row["train/conflict"]) <= 1
        assert float(row["train/conflict/left_wrist"]) in (0, 0.5, 1)
        assert float(row["train/weight/left_wrist"]) == 1
        assert float(row["train/potential"]) == pytest.approx(
            float(row["train/source_loss"]) + float(row["train/target_loss"]), rel=1e-5
        )
        assert float(row["train/gradient_norm"]) > 0
        assert row["train/corrupt_images"] == "0.0"
    assert [row for row in logged if row["test/dark/teacher/pck@0.1"]]


def test_energy_is_logged_with_a_hamiltonian_optimizer(dots: Path, tmp_path: Path):
    from hamipose.optim import Hamiltonian

    logger = CSVLogger(tmp_path, name="", version="run")
    model = HamiPose(lambda p: Hamiltonian(p, lr=1e-3, friction=0.1), TINY)
    train(model, dots, tmp_path, logger=logger)
    header, first, *_ = (line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines())
    row = {k: float(v) for k, v in zip(header, first, strict=True) if v}
    assert row["train/kinetic"] > 0
    assert row["train/hamiltonian"] == pytest.approx(row["train/kinetic"] + row["train/potential"])


def test_warmup_cosine_values():
    factors = [warmup_cosine(step, 10, 110, 0.1) for step in range(111)]
    assert factors[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.55)
    assert factors[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert warmup_cosine(10**6, 10, float("inf")) == 1


def test_learning_rate_ends_at_zero(dots: Path, tmp_path: Path):
    trainer = train(SourceOnly(sgd, TINY, TrainingOptions(warmup_steps=2)), dots, tmp_path)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)


def test_parameter_groups_have_factors_of_their_parts():
    network = SourceOnly(sgd, TINY).network
    groups = parameter_groups(network, {"backbone": 0.1, "deconv": 1.0, "final": 2.0}, sgd)
    assert [g["lr"] for g in groups] == pytest.approx([0.01, 0.1, 0.2])
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))
    with pytest.raises(UserError, match="names spine; expected each part of the network: backbone, deconv, final"):
        parameter_groups(network, {"spine": 1.0}, sgd)

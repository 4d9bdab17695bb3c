"""Laws of a training step, on tiny networks."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabelled
from hamipose.errors import InputError
from hamipose.gating import KeypointGate, OpenGate
from hamipose.methods import HamiPose, LastCheckpoint, MeanTeacher, PredictionImages, PredictionWriter, SourceOnly, load
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.models.preprocess import normalise
from hamipose.running.guard import FiniteGuard
from hamipose.running.last_checkpoint import AtomicCheckpoints, run_folder
from hamipose.running.optimization import parameter_groups
from hamipose.running.schedule import warmup_cosine

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def data_of(dots: Path, **options: object) -> DomainAdaptation:
    light, dark = ({"root": str(dots / look), "box": "image"} for look in ("light", "dark"))
    given = {
        "source": CocoKeypoints(**light),
        "target": [Unlabelled(CocoKeypoints(**dark))],
        "validation": CocoKeypoints(**light, count=6),
        "report": {"dark": CocoKeypoints(**dark, count=7)},
        "image_size": 32,
        "batch_size": 4,
        "steps_per_epoch": 4,
        "num_workers": 0,
        **options,
    }
    return DomainAdaptation(**given)


def trainer_in(folder: Path, **options: object) -> Trainer:
    given = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "default_root_dir": folder,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 2,
        **options,
    }
    return Trainer(**given)


def train(model, dots: Path, folder: Path, data: dict | None = None, **options: object) -> Trainer:
    trainer = trainer_in(folder, **options)
    trainer.fit(model, data_of(dots, **(data or {})))
    return trainer


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_an_open_gate_makes_hamipose_a_mean_teacher(dots: Path, tmp_path: Path):
    networks = []
    for build in (lambda: HamiPose(sgd, TINY, gate=OpenGate()), lambda: MeanTeacher(sgd, TINY)):
        torch.manual_seed(0)
        model = build()
        train(model, dots, tmp_path)
        networks.append(model)
    assert same_weights(networks[0].network, networks[1].network)
    torch.manual_seed(0)
    gated = HamiPose(sgd, TINY, gate=KeypointGate())
    train(gated, dots, tmp_path)
    assert not same_weights(gated.network, networks[0].network)


def test_without_a_trade_off_the_target_changes_nothing_but_batchnorm(dots: Path, tmp_path: Path):
    """λ = 0: w = 1, and the parameters are those of source-only training."""
    networks = []
    for build in (
        lambda: SourceOnly(sgd, TINY),
        lambda: HamiPose(sgd, TINY, adaptation=AdaptationOptions(trade_off=0.0)),
    ):
        torch.manual_seed(0)
        model = build()
        train(model, dots, tmp_path)
        networks.append(model.network)
    for (name, a), (_, b) in zip(*(n.named_parameters() for n in networks), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


def test_the_step_is_the_gradient_of_the_weighed_losses(dots: Path, tmp_path: Path):
    """One SGD step against the gated gradient assembled by hand, from each keypoint's own backward passes."""
    torch.manual_seed(0)
    trade_off = 0.7
    model = HamiPose(
        sgd, TINY, TrainingOptions(warmup_steps=0), AdaptationOptions(trade_off=trade_off, gate_warmup=0.0)
    )
    data = data_of(dots, steps_per_epoch=1)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    torch.nn.init.normal_(model.network.final.weight, std=0.1)
    model.adaptation.teacher.reset(model.network)
    model.adaptation.teacher.network.final.bias.data += 0.3  # a teacher that disagrees, and is sure of something
    before = {k: v.clone() for k, v in model.network.named_parameters()}

    model.network.train()
    buffers = {k: v.clone() for k, v in model.network.named_buffers()}
    source = model.learn(batch.source)
    features = model.network.features(normalise(batch.target.student))
    heatmaps = model.network.final(features)
    taught, known, confident = model.adaptation.teach(batch.target)
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
        weights.append(1 - trade_off * (1 - phi) * torch.dot(gs, gt) / torch.dot(gs, gs))
    total = (torch.stack(weights) * source.losses).sum() + trade_off * target.sum()
    expected = dict(zip(before, torch.autograd.grad(total, list(model.network.parameters())), strict=True))
    assert (torch.stack(weights) - 1).abs().max() > 0.01

    for k, v in model.network.named_buffers():
        v.copy_(buffers[k])
    trainer_in(tmp_path).fit(model, data)
    for name, parameter in model.network.named_parameters():
        torch.testing.assert_close(parameter, before[name] - 0.1 * expected[name], rtol=1e-4, atol=1e-7)


def test_teacher_follows_and_metric_sees_the_applied_increment(dots: Path, tmp_path: Path):
    model = HamiPose(sgd, TINY, adaptation=AdaptationOptions(decay=0.9), metric="diagonal")
    start = {k: v.clone() for k, v in model.network.named_parameters()}
    train(model, dots, tmp_path, data={"steps_per_epoch": 1})
    for name, taught in model.adaptation.teacher.network.named_parameters():
        now = dict(model.network.named_parameters())[name]
        torch.testing.assert_close(taught, 0.9 * start[name] + 0.1 * now, rtol=1e-5, atol=1e-7)
    moved = model.network.final.weight.flatten(1) - start["final.weight"].flatten(1)
    torch.testing.assert_close(
        model.adaptation.metric.alpha[:, :-1], 0.99 + 0.01 * moved.square(), rtol=1e-5, atol=1e-9
    )


def test_pretraining_sees_the_source_alone_and_ends_with_an_equal_teacher(dots: Path, tmp_path: Path):
    seen = []

    class Spy(HamiPose):
        def objective(self, batch):
            if self.global_step == 3:
                seen.append(same_weights(self.network, self.adaptation.teacher.network))
            seen.append(batch.target is None)
            return super().objective(batch)

    train(Spy(sgd, TINY, adaptation=AdaptationOptions(pretrain_steps=3)), dots, tmp_path, data={"steps_per_epoch": 5})
    assert seen == [True, True, True, True, False, False]


def test_gate_warm_up_counts_from_the_end_of_pretraining(dots: Path, tmp_path: Path):
    progress = []

    class Spy(HamiPose):
        def _gate_progress(self):
            progress.append(super()._gate_progress())
            return progress[-1]

    options = AdaptationOptions(pretrain_steps=2, gate_warmup=0.5)
    train(Spy(sgd, TINY, adaptation=options), dots, tmp_path, data={"steps_per_epoch": 6})
    assert progress == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_precisions_train_and_score(dots: Path, tmp_path: Path, precision: str):
    model = HamiPose(sgd, TINY)
    trainer = train(model, dots, tmp_path, precision=precision)
    scores = trainer.callback_metrics
    assert {"val/pck", "val/student/pck@0.05", "val/teacher/pck@0.1/elbow", "report/dark/teacher/pck@0.05"} <= set(
        scores
    )
    assert scores["val/pck"] == scores["val/teacher/pck@0.05"]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_loss_scaling_is_refused(dots: Path, tmp_path: Path):
    trainer = trainer_in(tmp_path)
    trainer.strategy.precision_plugin.precision = "16-mixed"
    with pytest.raises(InputError, match="16-mixed"):
        trainer.fit(SourceOnly(sgd, TINY), data_of(dots))


def test_compiled_training_keeps_the_state_names(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda f: compiled.append(f) or (lambda *a: f(*a)))
    model = MeanTeacher(sgd, NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8], compile=True))
    train(model, dots, tmp_path)
    assert compiled == [model.network.features]
    assert set(model.state_dict()) == set(MeanTeacher(sgd, TINY).state_dict())


# ---------------------------------------------------------------------------------------------------- what is logged


def test_conflicts_of_a_mean_teacher_are_logged_too(dots: Path, tmp_path: Path):
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
    assert [row for row in logged if row["report/dark/teacher/pck@0.1"]]


def test_energy_is_logged_with_a_hamiltonian_optimizer(dots: Path, tmp_path: Path):
    from hamipose.optim import Hamiltonian

    logger = CSVLogger(tmp_path, name="", version="run")
    model = HamiPose(lambda p: Hamiltonian(p, lr=1e-3, friction=0.1), TINY)
    train(model, dots, tmp_path, logger=logger)
    header, first, *_ = (line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines())
    row = {k: float(v) for k, v in zip(header, first, strict=True) if v}
    assert row["train/kinetic"] > 0
    assert row["train/hamiltonian"] == pytest.approx(row["train/kinetic"] + row["train/potential"])


def test_schedule():
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


def test_parameter_groups_by_part():
    network = SourceOnly(sgd, TINY).network
    groups = parameter_groups(network, {"backbone": 0.1, "deconv": 1.0, "final": 2.0}, sgd)
    assert [g["lr"] for g in groups] == pytest.approx([0.01, 0.1, 0.2])
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))
    with pytest.raises(InputError, match="names spine; expected each part of the network: backbone, deconv, final"):
        parameter_groups(network, {"spine": 1.0}, sgd)


# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def adapted(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HamiPose]:
    folder = tmp_path_factory.mktemp("adapted")
    model = HamiPose(sgd, TINY)
    train(model, dots, folder, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    return folder / "checkpoints" / "last.ckpt", model


def test_a_checkpoint_holds_plain_types_and_gives_back_the_evaluated_network(adapted: tuple[Path, HamiPose]):
    path, model = adapted
    hparams = torch.load(path, weights_only=True)["hyper_parameters"]
    json.dumps(hparams)
    images = torch.rand(2, 3, 32, 32)
    network = load(path)
    assert not network.training
    assert torch.equal(network(images), model.eval()(images))
    assert same_weights(network, model.adaptation.teacher.network)


def test_a_new_run_starts_from_another_methods_network(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    path, before = adapted
    model = MeanTeacher(sgd, TINY, TrainingOptions(init_from=str(path)))
    trainer = trainer_in(tmp_path, limit_train_batches=0)
    trainer.fit(model, data_of(dots))
    assert same_weights(model.network, before.network)
    assert same_weights(model.adaptation.teacher.network, before.network)


def test_a_checkpoint_of_another_kind_is_refused_in_a_line(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    path, _ = adapted
    other_skeleton = NetworkOptions(skeleton="lsp14", backbone="test_resnet", deconv_channels=[8, 8, 8])
    data = data_of(
        dots,
        source=CocoKeypoints(str(dots / "light"), skeleton="lsp14"),
        validation=None,
        report=None,
    )
    for training, resume in ((TrainingOptions(init_from=str(path)), None), (TrainingOptions(), path)):
        with pytest.raises(InputError, match="finds the keypoints of body16, this model those of lsp14") as error:
            trainer_in(tmp_path).fit(
                SourceOnly(sgd, other_skeleton, training), data, ckpt_path=resume, weights_only=True
            )
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="another model \\(HamiPose, test_resnet\\) than SourceOnly"):
        trainer_in(tmp_path).fit(SourceOnly(sgd, TINY), data_of(dots), ckpt_path=path, weights_only=True)
    wider = NetworkOptions(backbone="test_resnet", deconv_channels=[16, 16, 16])
    with pytest.raises(InputError, match=r"test_resnet with deconvolutions \[8, 8, 8\]"):
        trainer_in(tmp_path).fit(SourceOnly(sgd, wider, TrainingOptions(init_from=str(path))), data_of(dots))
    (tmp_path / "broken.ckpt").write_bytes(path.read_bytes()[:1000])
    for name, words in (("broken.ckpt", "cannot be read"), ("none.ckpt", "does not exist")):
        with pytest.raises(InputError, match=words):
            load(tmp_path / name)


def test_data_of_another_skeleton_are_refused(dots: Path, tmp_path: Path):
    hands = NetworkOptions(skeleton="hand21", backbone="test_resnet", deconv_channels=[8, 8, 8])
    with pytest.raises(InputError, match="the data have the keypoints of body16, the network those of hand21"):
        trainer_in(tmp_path).fit(SourceOnly(sgd, hands), data_of(dots))


def test_adaptation_needs_a_target(dots: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"MeanTeacher adapts to a target, and data\.target is not given"):
        trainer_in(tmp_path).fit(MeanTeacher(sgd, TINY), data_of(dots, target=None))
    trainer_in(tmp_path).fit(SourceOnly(sgd, TINY), data_of(dots, target=None))


# ---------------------------------------------------------------------------------------------------- trouble


class Poisoned(HamiPose):
    """A loss that is NaN at step 6."""

    def objective(self, batch):
        objective = super().objective(batch)
        return objective._replace(loss=objective.loss * float("nan")) if self.global_step == 6 else objective


def test_nan_ends_in_a_line_and_costs_no_finished_epoch(dots: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"training stopped at step 6: loss = nan.*images/.*and 5 more") as error:
        train(
            Poisoned(sgd, TINY), dots, tmp_path, max_epochs=3, callbacks=[LastCheckpoint()], enable_checkpointing=True
        )
    assert "\n" not in str(error.value)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values())
    healed = HamiPose(sgd, TINY)
    trainer = trainer_in(tmp_path, max_epochs=3)
    trainer.fit(healed, data_of(dots), ckpt_path=tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert trainer.global_step == 12


def test_spoilt_weights_are_not_saved(dots: Path, tmp_path: Path):
    class Overflow(Callback):
        """What an infinite gradient does in the last step of an epoch."""

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 8:
                pl_module.network.final.weight.data[0, 0] = float("nan")

    callbacks = [Overflow(), LastCheckpoint()]
    with pytest.raises(InputError, match=r"step 8: final\.weight and 0 other"):
        train(SourceOnly(sgd, TINY), dots, tmp_path, max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values())


def test_a_checkpoint_that_fails_leaves_the_previous_one(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        AtomicCheckpoints().save_checkpoint({"step": lambda: 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_late_look_still_comes_before_a_checkpoint():
    class OnDevice(torch.Tensor):
        is_cuda = True

    guard = FiniteGuard()
    guard.watch(1, {"loss": torch.tensor(1.0).as_subclass(OnDevice)}, ["a"])
    guard.watch(2, {"loss": torch.tensor(float("nan")).as_subclass(OnDevice)}, ["b"])
    with pytest.raises(InputError, match="step 2"):
        guard.check()


def test_a_broken_evaluation_image_costs_no_finished_epoch(dots: Path, tmp_path: Path):
    shutil.copytree(dots / "dark", tmp_path / "dark")
    (tmp_path / "dark" / "images" / "0003.png").write_bytes(b"broken")
    data = data_of(dots, report={"dark": CocoKeypoints(str(tmp_path / "dark"), box="image")})
    trainer = trainer_in(tmp_path, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    with pytest.raises(InputError, match=r"0003.png is not a picture"):
        trainer.fit(SourceOnly(sgd, TINY), data)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


# ---------------------------------------------------------------------------------------------------- predictions


def test_predictions_can_be_read_as_a_data_set(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    _, model = adapted
    trainer = trainer_in(tmp_path, callbacks=[PredictionWriter()])
    trainer.predict(
        model, data_of(dots, predict=CocoKeypoints(str(dots / "dark"), box="image"), evaluation_batch_size=5)
    )
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert len(content["annotations"]) == len(content["images"]) == 16
    assert all(len(a["keypoint_scores"]) == 16 for a in content["annotations"])
    read = CocoKeypoints("/", annotations=str(tmp_path / "predictions.json"), box="image", images="/")
    read.prepare()
    # 48-pixel originals were seen at 32 pixels: the way back is in pixels of the originals.
    crop = torch.from_numpy(read[2].image).permute(2, 0, 1)[None]
    assert crop.shape[-2:] == (48, 48)
    assert (read[2].keypoints_px >= -1).all()
    assert (read[2].keypoints_px <= 48).all()
    spread = np.ptp(np.stack([read[i].keypoints_px for i in range(16)]).reshape(-1, 2), axis=0)
    assert (spread <= 49).all()
    assert content["annotations"][0]["bbox"] == pytest.approx([0, 0, 48, 48], abs=0.02)
    with pytest.raises(InputError, match=r"data\.predict is not given"):
        trainer_in(tmp_path).predict(model, data_of(dots))


def test_pictures_are_drawn(dots: Path, tmp_path: Path):
    train(HamiPose(sgd, TINY), dots, tmp_path, callbacks=[PredictionImages(count=3)])
    assert {p.name for p in (tmp_path / "images").iterdir()} == {"val-000004.png", "report-dark-000004.png"}


def test_runs_of_a_logger_that_shares_its_folder_stay_apart(tmp_path: Path):
    class Shared(CSVLogger):
        log_dir = property()  # not offered, as by the logger of W&B

    folders = []
    for version in ("a", "b"):
        trainer = trainer_in(tmp_path, logger=Shared(tmp_path, name="project", version=version))
        folders.append(run_folder(trainer))
    assert folders == [tmp_path / "project" / "a", tmp_path / "project" / "b"]
    own = trainer_in(tmp_path, logger=CSVLogger(tmp_path, name="", version="run"))
    assert run_folder(own) == tmp_path / "run"
    assert run_folder(trainer_in(tmp_path)) == tmp_path

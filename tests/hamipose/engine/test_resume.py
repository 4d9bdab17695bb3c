"""Resuming with changed options: they are used or rejected; unchanged options change nothing."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from hamipose.engine.checkpoints import RunPosition, run_position
from hamipose.engine.resume import optimizer_options, use_options
from hamipose.errors import UserError
from hamipose.methods import LastCheckpoint, MeanTeacher, SourceOnly
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.optim import Hamiltonian
from tests.helpers.pose_training import TINY, make_data, make_trainer, train
from tests.helpers.processes import assert_identical

PARTS = {"backbone": 0.1, "deconv": 1.0, "final": 2.0}


def method(make: Callable, kind: type = SourceOnly, network: NetworkOptions = TINY, **training: Any) -> SourceOnly:
    return kind(make, network, TrainingOptions(**{"warmup_steps": 3, "lr_factors": PARTS, **training}))


def first_part(make: Callable, dots: Path, folder: Path, kind: type = SourceOnly, **training: Any) -> Path:
    """Run one epoch of four steps; return its last checkpoint."""
    train(method(make, kind, **training), dots, folder, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    return folder / "checkpoints" / "last.ckpt"


ADAMW = partial(torch.optim.AdamW, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
OPTIMIZERS = {
    "adamw": (ADAMW, partial(torch.optim.AdamW, lr=2e-4, betas=(0.8, 0.99), weight_decay=0.0, eps=1e-6)),
    "hamiltonian": (
        partial(Hamiltonian, lr=1e-3, friction=0.1, mass="tensor", weight_decay=0.1),
        partial(Hamiltonian, lr=5e-4, friction=0.2, mass="tensor", mass_decay=0.9, kicks="leapfrog"),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resume_uses_the_optimizer_options_of_the_config(
    name: str, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    begun_with, wanted = OPTIMIZERS[name]
    checkpoint = first_part(begun_with, dots, tmp_path)
    model = method(wanted, warmup_steps=10, final_lr_ratio=0.5)
    trainer = make_trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    capsys.readouterr()
    trainer.fit(model, make_data(dots), ckpt_path=checkpoint, weights_only=True)  # no steps are left
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert "Resuming at step 4 with lr " in output
    fresh = wanted([torch.nn.Parameter(torch.zeros(1))]).defaults
    saved = torch.load(checkpoint, weights_only=True)["optimizer_states"][0]
    groups = trainer.optimizers[0].param_groups
    for group, factor in zip(groups, PARTS.values(), strict=True):
        assert {key: group[key] for key in fresh if key != "lr"} == {k: v for k, v in fresh.items() if k != "lr"}
        assert group["initial_lr"] == pytest.approx(fresh["lr"] * factor)
        assert group["lr"] == pytest.approx(fresh["lr"] * factor * model.learning_rate(4, 4.0))
    after = trainer.optimizers[0].state_dict()["state"]
    assert_identical({k: dict(v) for k, v in saved["state"].items()}, {k: dict(v) for k, v in after.items()})


def test_use_options_without_changes_keeps_the_checkpoint(dots: Path, tmp_path: Path):
    loaded = torch.load(first_part(ADAMW, dots, tmp_path), weights_only=True)
    model = method(ADAMW)
    model._trainer = SimpleNamespace(callbacks=[], global_step=4)
    for content in (loaded, {**loaded, "run": {}}):  # with the record, and without it as in earlier versions
        before = copy.deepcopy(content)
        assert use_options(content, model, model._new_optimizer(), lambda step: model.learning_rate(step, 4.0)) == []
        assert_identical(before, content)


def test_optimizer_options_exclude_state():
    optimizer = Hamiltonian([torch.nn.Parameter(torch.zeros(1))], friction=0.1, mass="group")
    (group,) = optimizer_options(optimizer)["groups"]
    assert group == optimizer.defaults


def error_message(model: Any, data: Any, checkpoint: Path, folder: Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        make_trainer(folder, **{"max_epochs": 3, **options}).fit(model, data, ckpt_path=checkpoint, weights_only=True)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_resume_rejects_options_that_decided_earlier_steps(dots: Path, tmp_path: Path):
    checkpoint = first_part(ADAMW, dots, tmp_path)
    message_of = partial(error_message, checkpoint=checkpoint, folder=tmp_path)
    assert "seed_everything is 1, but the run in the checkpoint has 0" in message_of(
        method(ADAMW), make_data(dots, seed=1)
    )
    longer = make_data(dots, steps_per_epoch=5)
    assert "steps_per_epoch (with trainer.limit_train_batches) is 5" in message_of(method(ADAMW), longer)
    assert "is 2, but" in message_of(method(ADAMW), make_data(dots), limit_train_batches=2)
    start = message_of(method(ADAMW, init_from=str(checkpoint)), make_data(dots))
    assert "training.init_from is" in start
    assert "started with null" in start
    pretrained = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8], weights="none.pth")
    model = method(ADAMW)
    model._start = {**model._start, "network.weights": pretrained.weights}
    assert "network.weights is none.pth, but the run in the checkpoint started with none" in message_of(
        model, make_data(dots)
    )
    assert "the class AdamW; expected Adam" in message_of(method(torch.optim.Adam), make_data(dots))
    assert "ends the run at step 2" in message_of(method(ADAMW), make_data(dots), max_steps=2)


def test_resume_accepts_another_path_of_the_same_start(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    start = first_part(ADAMW, dots, tmp_path / "start")
    checkpoint = first_part(ADAMW, dots, tmp_path, init_from=str(start))
    monkeypatch.chdir(tmp_path)
    model = method(ADAMW, init_from="start/checkpoints/last.ckpt")
    make_trainer(tmp_path).fit(model, make_data(dots), ckpt_path=checkpoint, weights_only=True)


def test_resume_rejects_pretraining_beyond_the_checkpoint(dots: Path, tmp_path: Path):
    def adapting(pretrain_steps: int) -> MeanTeacher:
        return MeanTeacher(ADAMW, TINY, TrainingOptions(), AdaptationOptions(pretrain_steps=pretrain_steps))

    train(adapting(2), dots, tmp_path, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    line = error_message(adapting(6), make_data(dots), checkpoint, tmp_path)
    assert "at step 4 the run in the checkpoint adapted, with these options it pretrains" in line


def test_resume_uses_the_patience_of_the_config(dots: Path, tmp_path: Path):
    def stopping(patience: int) -> EarlyStopping:
        return EarlyStopping("val/pck", patience=patience, mode="max")

    model = method(ADAMW)
    train(model, dots, tmp_path, callbacks=[LastCheckpoint(), stopping(2)], enable_checkpointing=True, max_epochs=2)
    callback = stopping(7)
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[callback])
    trainer.fit(method(ADAMW), make_data(dots), ckpt_path=tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert callback.patience == 7


def test_run_position_of_a_checkpoint(dots: Path, tmp_path: Path):
    checkpoint = first_part(ADAMW, dots, tmp_path)
    model, trainer = method(ADAMW), make_trainer(tmp_path)
    trainer.validate(model, make_data(dots), ckpt_path=checkpoint, verbose=False, weights_only=True)
    assert run_position(trainer) == RunPosition(4, 1)
    trainer.validate(method(ADAMW), make_data(dots), verbose=False)
    assert run_position(trainer) == RunPosition(0, 0)

"""Files in a run folder: checkpoints are not overwritten, the config is complete, scores have a step."""

import json
import logging
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from hamipose.cli import main
from hamipose.command_line.run_files import check_overwrite, remove_selection
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError
from tests.helpers.pose_training import make_trainer


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch):
    """Remove log handlers, which would write to the closed stream of an earlier test."""
    monkeypatch.setattr(logging, "raiseExceptions", False)


@pytest.fixture
def config(dots: Path, tmp_path: Path) -> Path:
    """Return arguments of a source-only run on dots: epochs of two steps, in the folder ``run``."""

    def people(look: str, **options: object) -> dict:
        arguments = {"root": str(dots / look), "box": "image", **options}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": arguments}

    content = {
        "inherit": str(configs_folder() / "base.yaml"),
        "model": {
            "class_path": "hamipose.methods.SourceOnly",
            "init_args": {
                "network": {"backbone": "test_resnet", "weights": "none", "deconv_channels": [8, 8, 8]},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1.0e-3}},
                "training": {"warmup_steps": 0, "final_lr_ratio": 1.0},
            },
        },
        "data": {
            "source": people("light"),
            "validation": people("light", count=4),
            "test": {"dark": people("dark", count=4)},
            "image_size": 32,
            "batch_size": 2,
            "steps_per_epoch": 2,
            "num_workers": 0,
        },
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": {"init_args": {"save_dir": str(tmp_path), "name": "", "version": "run"}},
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def position(path: Path) -> tuple[int, ...]:
    """Return step and epoch of a score file, and those of the end of the run."""
    content = json.loads(path.read_text())
    return tuple(content[key] for key in ("step", "epoch", "last_step", "last_epoch") if key in content)


@pytest.mark.slow
def test_run_is_resumed_with_new_options_and_not_replaced(config: Path, capsys: pytest.CaptureFixture):
    fit, run = ["fit", "--config", str(config)], config.parent / "run"
    last = run / "checkpoints" / "last.ckpt"
    assert main(fit) == 0
    assert main(fit) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: {run} already contains a run")
    assert f"--ckpt_path {last}" in line
    lr = ["--model.init_args.optimizer.init_args.lr", "0.0001"]
    assert main([*fit, *lr, "--trainer.max_epochs", "2", "--ckpt_path", str(last)]) == 0
    assert "Resuming at step 2 with lr 0.0001 (was 0.001)\n" in capsys.readouterr().out
    saved = torch.load(last, weights_only=True)
    assert saved["global_step"] == 4
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == 1e-4
    recorded = [yaml.safe_load((run / name).read_text()) for name in ("config-000.yaml", "config.yaml")]
    assert [c["model"]["init_args"]["optimizer"]["init_args"]["lr"] for c in recorded] == [1e-3, 1e-4]


@pytest.mark.slow
def test_run_without_validation_ends_with_scores(config: Path, capsys: pytest.CaptureFixture):
    assert main(["fit", "--config", str(config), "--data.validation", "null"]) == 0
    run, lines = config.parent / "run", capsys.readouterr().out.splitlines()
    assert "data.validation is null: no source-selected checkpoint is saved, only the last one" in lines
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    scores = json.loads((run / "scores.json").read_text())["scores"]
    assert scores
    assert all(name.startswith("test/dark/") for name in scores)


@pytest.mark.slow
def test_run_without_evaluation_sets_ends(config: Path, recwarn: pytest.WarningsRecorder):
    assert main(["fit", "--config", str(config), "--data.validation", "null", "--data.test", "null"]) == 0
    assert json.loads((config.parent / "run" / "scores.json").read_text())["scores"] == {}
    assert not [w for w in recwarn if "across ranks is zero" in str(w.message)]


@pytest.mark.slow
def test_scores_contain_the_step_of_their_measurement(config: Path):
    run = config.parent / "run"
    options = ["--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", "2", "--trainer.max_steps", "5"]
    assert main(["fit", "--config", str(config), *options]) == 0
    assert position(run / "scores.json") == (4, 2, 5, 2)
    last = ["--config", str(config), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
    for verb in ("validate", "test"):
        assert main([verb, *last]) == 0
        assert position(run / f"scores-{verb}.json") == (5, 2)
        assert (run / f"config-{verb}.yaml").is_file()
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_steps"] == 5


@pytest.mark.slow
def test_run_shorter_than_an_epoch_is_evaluated_at_its_end(config: Path):
    assert main(["fit", "--config", str(config), "--trainer.max_steps", "1"]) == 0
    assert position(config.parent / "run" / "scores.json")[:2] == (1, 0)
    assert "val/pck" in json.loads((config.parent / "run" / "scores.json").read_text())["scores"]


def test_check_overwrite_accepts_only_checkpoints_of_the_run(tmp_path: Path):
    check_overwrite(tmp_path / "run", None)
    own = tmp_path / "run" / "checkpoints"
    own.mkdir(parents=True)
    check_overwrite(tmp_path / "run", None)
    (own / "source-selected.ckpt").touch()
    check_overwrite(tmp_path / "run", own / "source-selected.ckpt")
    check_overwrite(tmp_path / "run", "last")
    for other in (None, tmp_path / "other" / "checkpoints" / "last.ckpt"):
        with pytest.raises(UserError, match=r"already contains a run.*--ckpt_path \S+source-selected\.ckpt"):
            check_overwrite(tmp_path / "run", other)


def test_remove_selection_rejects_early_stopping_by_validation(tmp_path: Path):
    monitors = ["val/pck", "test/dark/pck", None]
    callbacks = [ModelCheckpoint(monitor=monitor) for monitor in monitors]
    trainer = make_trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True)
    remove_selection(trainer)
    assert [callback.monitor for callback in trainer.checkpoint_callbacks] == monitors[1:]
    with pytest.raises(UserError, match=r"EarlyStopping monitors val/pck, and data\.validation is null"):
        remove_selection(make_trainer(tmp_path, callbacks=[EarlyStopping("val/pck")]))

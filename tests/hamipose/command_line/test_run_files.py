"""What a run leaves in its folder through the command line: no checkpoint lost, options as used, scores with a step."""

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
    """Handlers made in one test write to that test's captured, closed stream in the next."""
    monkeypatch.setattr(logging, "raiseExceptions", False)


@pytest.fixture
def config(dots: Path, tmp_path: Path) -> Path:
    """Source only on dots: epochs of two steps, in the folder ``run``."""

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
    """Step and epoch of a score file, and where the run ended."""
    content = json.loads(path.read_text())
    return tuple(content[key] for key in ("step", "epoch", "last_step", "last_epoch") if key in content)


@pytest.mark.slow
def test_a_run_is_resumed_with_what_is_asked_and_not_replaced(config: Path, capsys: pytest.CaptureFixture):
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
def test_without_validation_a_run_ends_with_scores(config: Path, capsys: pytest.CaptureFixture):
    assert main(["fit", "--config", str(config), "--data.validation", "null"]) == 0
    run, told = config.parent / "run", capsys.readouterr().out.splitlines()
    assert "data.validation is null: no source-selected checkpoint is saved, only the last one" in told
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    scores = json.loads((run / "scores.json").read_text())["scores"]
    assert scores
    assert all(name.startswith("test/dark/") for name in scores)


@pytest.mark.slow
def test_a_run_without_anything_to_evaluate_ends(config: Path, recwarn: pytest.WarningsRecorder):
    assert main(["fit", "--config", str(config), "--data.validation", "null", "--data.test", "null"]) == 0
    assert json.loads((config.parent / "run" / "scores.json").read_text())["scores"] == {}
    assert not [w for w in recwarn if "across ranks is zero" in str(w.message)]


@pytest.mark.slow
def test_scores_carry_the_step_at_which_they_were_measured(config: Path):
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
def test_a_run_shorter_than_an_epoch_is_evaluated_at_its_end(config: Path):
    assert main(["fit", "--config", str(config), "--trainer.max_steps", "1"]) == 0
    assert position(config.parent / "run" / "scores.json")[:2] == (1, 0)
    assert "val/pck" in json.loads((config.parent / "run" / "scores.json").read_text())["scores"]


def test_only_its_own_checkpoint_resumes_a_run(tmp_path: Path):
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


def test_what_stops_by_a_validation_score_needs_validation(tmp_path: Path):
    monitors = ["val/pck", "test/dark/pck", None]
    callbacks = [ModelCheckpoint(monitor=monitor) for monitor in monitors]
    trainer = make_trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True)
    remove_selection(trainer)
    assert [callback.monitor for callback in trainer.checkpoint_callbacks] == monitors[1:]
    with pytest.raises(UserError, match=r"EarlyStopping monitors val/pck, and data\.validation is null"):
        remove_selection(make_trainer(tmp_path, callbacks=[EarlyStopping("val/pck")]))

"""Command line: quick help, runs from configs, errors in one line with exit status 2."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from hamipose.cli import _VERBS, HELP, main
from hamipose.config.config_file import expand_config_arguments, resolve_inheritance
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError
from tests.helpers.light_help import help_imports


@pytest.fixture
def config(dots: Path, tmp_path: Path) -> Path:
    """Write a tiny config that inherits from base.yaml."""

    def people(look: str, **options: object) -> dict:
        arguments = {"root": str(dots / look), "box": "image", **options}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": arguments}

    target = {"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": people("dark")}}
    content = {
        "inherit": str(configs_folder() / "base.yaml"),
        "model": {
            "init_args": {
                "network": {"backbone": "test_resnet", "weights": "none", "deconv_channels": [8, 8, 8]},
                "training": {"warmup_steps": 2},
                "adaptation": {"pretrain_steps": 0},
            }
        },
        "data": {
            "source": people("light"),
            "target": [target],
            "validation": people("light", count=6),
            "test": {"dark": people("dark", count=7)},
            "image_size": 32,
            "batch_size": 4,
            "steps_per_epoch": 3,
            "num_workers": 0,
        },
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": {"init_args": {"save_dir": str(tmp_path / "runs"), "name": "", "version": "run"}},
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def error_line(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Return the single line that an error prints."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    # Lightning may have printed its seed and devices before.
    assert not [line for line in lines if "Traceback" in line or line.startswith(("  File", "usage:"))], lines
    assert lines[-1].startswith("error: ")
    assert not [line for line in lines[:-1] if line.startswith("error")], lines
    return lines[-1]


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch):
    """Log handlers of one test would write to its closed stream in the next."""
    monkeypatch.setattr(logging, "raiseExceptions", False)


def test_help_is_short_and_imports_no_heavy_modules():
    assert len(HELP.splitlines()) < 60
    assert help_imports("hamipose") == {verb: [] for verb in ("", *_VERBS)}


@pytest.mark.slow
def test_fit_validate_predict_with_a_config(config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    run = tmp_path / "runs" / "run"
    assert main(["fit", "--config", str(config), "--trainer.enable_model_summary", "true"]) == 0
    beginning = capsys.readouterr().out
    assert "Parameters: network " in beginning
    assert "FLOPs" not in beginning
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 6
    assert (run / "checkpoints" / "source-selected.ckpt").exists()
    scores = json.loads((run / "scores.json").read_text())["scores"]
    assert {"val/pck", "test/dark/teacher/pck@0.05", "test/dark/student/pck@0.1/wrist"} <= set(scores)
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["inherit"] is None
    assert saved["model"]["init_args"]["adaptation"]["ema_decay"] == 0.99

    # The saved config is complete, and the command line overrides the checkpoint.
    options = ["--trainer.logger.init_args.version", "validated", "--model.init_args.adaptation.ema_decay", "0.5"]
    assert main(["validate", "--config", str(run / "config.yaml"), "--ckpt_path", str(checkpoint), *options]) == 0
    again = json.loads((tmp_path / "runs" / "validated" / "scores-validate.json").read_text())["scores"]
    assert again == scores
    shown = capsys.readouterr().out  # at 80 columns, whole
    assert all(word in shown for word in ("test/dark", "student @0.05", "teacher @0.1"))
    assert "…" not in shown.partition("PCK, %")[2]
    assert main(["test", "--config", str(config), "--ckpt_path", str(checkpoint), *options[:2]]) == 0

    # The same command completes a run that was stopped between its last step and its last evaluation.
    (run / "scores.json").unlink()
    assert main(["fit", "--config", str(config), "--ckpt_path", str(checkpoint)]) == 0
    at = {"step": 6, "epoch": 2, "last_step": 6, "last_epoch": 2}
    assert json.loads((run / "scores.json").read_text()) == {**at, "scores": scores}
    assert not (run / "scores-validate.json").exists()

    folder = ["--data.predict", "hamipose.data.ImageFolder", "--data.predict.root", str(dots / "dark" / "images")]
    assert main(["predict", "--config", str(config), "--ckpt_path", str(checkpoint), *options[:2], *folder]) == 0
    content = json.loads((tmp_path / "runs" / "validated" / "predictions.json").read_text())
    assert len(content["annotations"]) == 16


def test_progress_bar_shows_small_losses(config: Path, capfd: pytest.CaptureFixture):
    show = ["--trainer.enable_progress_bar", "true", "--trainer.max_epochs", "1"]
    assert main(["fit", "--config", str(config), *show]) == 0
    shown = capfd.readouterr().out
    losses = re.findall(r"source: (\S+)", shown)
    assert losses, shown
    assert float(losses[-1]) > 0
    assert len(losses[-1].lstrip("0.")) >= 2  # several digits, not 0.004
    assert "v_num" not in shown


def test_resume_from_weights_alone_raises_an_error(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    network = {"skeleton": "body16", "backbone": "test_resnet", "deconv_channels": [8, 8, 8]}
    torch.save({"hyper_parameters": network, "state_dict": {}}, tmp_path / "given.ckpt")
    line = error_line(capsys, "fit", "--config", str(config), "--ckpt_path", str(tmp_path / "given.ckpt"))
    assert "contains weights only, no training state" in line


def test_cli_errors_are_one_line(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    fit = ("fit", "--config", str(config))
    assert "'train'" in error_line(capsys, "train")
    assert "max_epoch" in error_line(capsys, *fit, "--trainer.max_epoch", "3")  # abbreviations are not accepted
    assert "batch_size" in error_line(capsys, *fit, "--data.batch_size", "many")
    assert "'gamma'" in error_line(capsys, *fit, "--model.init_args.gamma", "3")
    assert "cannot be read" in error_line(capsys, "fit", "--config", str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00model: \xe9")
    assert "binary.yaml is not valid YAML" in error_line(capsys, "fit", "--config", str(tmp_path / "binary.yaml"))
    assert "needs a file" in error_line(capsys, "fit", "--config")
    assert "required" in error_line(capsys, "fit")  # data.source, or the model where jsonargparse is older
    assert "hammy" in error_line(capsys, *fit, "--data.source_views", "hammy")
    assert "does not exist" in error_line(capsys, "validate", *fit[1:], "--ckpt_path", str(tmp_path / "none.ckpt"))
    assert "data.predict is not given" in error_line(capsys, "predict", *fit[1:])
    assert "none.pth does not exist" in error_line(
        capsys, *fit, "--model.init_args.network.weights", str(tmp_path / "none.pth")
    )
    assert "resnet1000" in error_line(capsys, *fit, "--model.init_args.network.backbone", "resnet1000")
    assert "seed_everything: -1 is not in bounds" in error_line(capsys, *fit, "--seed_everything", "-1")
    assert "data.num_workers is -1, expected at least 0" in error_line(capsys, *fit, "--data.num_workers", "-1")
    for extra, words in (
        ({"modle": {"class_path": "HamiPose"}}, "modle"),
        ({"data": {"sauce": 1}}, "sauce"),
        ({"trainer": {"epochs": 1}}, "epochs"),
        ({"model": {"init_args": {"adaptation": {"lambda": 1}}}}, "lambda"),
    ):
        path = tmp_path / "extra.yaml"
        path.write_text(yaml.safe_dump({"inherit": str(config), **extra}))
        assert words in error_line(capsys, "fit", "--config", str(path))


def test_data_errors_are_one_line(config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    fit = ("fit", "--config", str(config))
    (tmp_path / "empty").mkdir()
    target = {"class_path": "hamipose.data.ImageFolder", "init_args": {"root": str(tmp_path / "empty")}}
    assert "contains no image" in error_line(capsys, *fit, f"--data.target=[{json.dumps(target)}]")
    labeled = {"class_path": "hamipose.data.CocoKeypoints", "init_args": {"root": str(dots / "dark")}}
    assert "has labels" in error_line(capsys, *fit, f"--data.target=[{json.dumps(labeled)}]")
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file" in error_line(capsys, *fit, "--trainer.logger.init_args.save_dir", str(tmp_path / "file"))
    nowhere = {"class_path": "hamipose.data.LeedsSports", "init_args": {"root": str(tmp_path / "nowhere")}}
    assert "joints.mat does not exist" in error_line(capsys, *fit, f"--data.source={json.dumps(nowhere)}")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_damaged_image_error_is_one_line(
    config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture, workers: str
):
    shutil.copytree(dots / "light", tmp_path / "light")
    for path in (tmp_path / "light" / "images").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    fit = ("fit", "--config", str(config), "--data.num_workers", workers)
    damaged = ("--data.validation.init_args.root", str(tmp_path / "light"))
    assert re.match(r"error: image \S+ is truncated", error_line(capsys, *fit, *damaged))
    damaged = ("--data.source.init_args.root", str(tmp_path / "light"), "--data.validation", "null")
    assert error_line(capsys, *fit, *damaged).startswith("error: 32 images in a row could not be read")


def test_selection_by_target_labels_raises_an_error(config: Path, capsys: pytest.CaptureFixture):
    callback = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "test/dark/teacher/pck@0.05"},
    }
    line = error_line(capsys, "fit", "--config", str(config), f"--trainer.callbacks=[{json.dumps(callback)}]")
    assert "monitors test/dark/teacher/pck@0.05" in line


def test_debug_raises_the_exception(config: Path):
    with pytest.raises(UserError):
        main(["fit", "--config", str(config), "--data.batch_size", "0", "--debug"])


def test_configs_inherit_oldest_first(tmp_path: Path):
    for name, inherit in (("a", ""), ("b", "inherit: a.yaml"), ("c", "inherit: [b.yaml]"), ("d", "inherit: d.yaml")):
        (tmp_path / f"{name}.yaml").write_text(f"{inherit}\ntrainer: {{max_epochs: 1}}\n")
    assert [p.name for p in resolve_inheritance(tmp_path / "c.yaml")] == ["a.yaml", "b.yaml", "c.yaml"]
    words = expand_config_arguments(["fit", f"--config={tmp_path}/b.yaml", "--x", "1"])
    assert words == ["fit", "--config", f"{tmp_path}/a.yaml", "--config", f"{tmp_path}/b.yaml", "--x", "1"]
    with pytest.raises(UserError, match="inherits from itself"):
        resolve_inheritance(tmp_path / "d.yaml")
    (tmp_path / "e.yaml").write_text("inherit: none.yaml\n")
    with pytest.raises(UserError, match=r"none.yaml, which .*e.yaml inherits from, cannot be read"):
        resolve_inheritance(tmp_path / "e.yaml")
    (tmp_path / "f.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        resolve_inheritance(tmp_path / "f.yaml")


@pytest.mark.parametrize("inherit", ["5", "[5]", "{a: b}", "true"])
def test_invalid_inherit_raises_an_error(tmp_path: Path, inherit: str):
    (tmp_path / "a.yaml").write_text(f"inherit: {inherit}\n")
    with pytest.raises(UserError, match=r"a\.yaml: inherit is .*, expected the name of a config, or a list of names"):
        resolve_inheritance(tmp_path / "a.yaml")

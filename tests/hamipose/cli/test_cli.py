"""The command line as a user meets it: quick help, runs from configs, mistakes in one line and status 2."""

import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from hamipose.cli import HELP, main
from hamipose.config.config_file import expand_config_arguments, resolve_inheritance
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError


@pytest.fixture
def config(dots: Path, tmp_path: Path) -> Path:
    """A tiny experiment that states how it differs from the shipped base."""

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


def told(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that a mistake ends in."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    # Before it, Lightning may have told its seed and devices.
    assert not [line for line in lines if "Traceback" in line or line.startswith(("  File", "usage:"))], lines
    assert lines[-1].startswith("error: ")
    assert not [line for line in lines[:-1] if line.startswith("error")], lines
    return lines[-1]


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch):
    """Handlers made in one test write to that test's captured, closed stream in the next."""
    monkeypatch.setattr(logging, "raiseExceptions", False)


def test_help_is_short_and_quick():
    assert len(HELP.splitlines()) < 60
    check = (
        "import sys, hamipose.__main__ as m; m.main(['--help']); print({'torch', 'lightning', 'anny'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m hamipose VERB")
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_fit_validate_predict_from_a_config(config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
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
    assert saved["model"]["init_args"]["adaptation"]["decay"] == 0.99

    # The saved config runs by itself, and the command line beats the checkpoint.
    options = ["--trainer.logger.init_args.version", "validated", "--model.init_args.adaptation.ema_decay", "0.5"]
    assert main(["validate", "--config", str(run / "config.yaml"), "--ckpt_path", str(checkpoint), *options]) == 0
    again = json.loads((tmp_path / "runs" / "validated" / "scores-validate.json").read_text())["scores"]
    assert again == scores
    shown = capsys.readouterr().out  # at 80 columns, whole
    assert all(word in shown for word in ("test/dark", "student @0.05", "teacher @0.1"))
    assert "…" not in shown.partition("PCK, %")[2]
    assert main(["test", "--config", str(config), "--ckpt_path", str(checkpoint), *options[:2]]) == 0

    # Stopped after its last step and before its last evaluation, a run has its scores from the same command.
    (run / "scores.json").unlink()
    assert main(["fit", "--config", str(config), "--ckpt_path", str(checkpoint)]) == 0
    at = {"step": 6, "epoch": 2, "last_step": 6, "last_epoch": 2}
    assert json.loads((run / "scores.json").read_text()) == {**at, "scores": scores}
    assert not (run / "scores-validate.json").exists()

    folder = ["--data.predict", "hamipose.data.ImageFolder", "--data.predict.root", str(dots / "dark" / "images")]
    assert main(["predict", "--config", str(config), "--ckpt_path", str(checkpoint), *options[:2], *folder]) == 0
    content = json.loads((tmp_path / "runs" / "validated" / "predictions.json").read_text())
    assert len(content["annotations"]) == 16


def test_the_progress_bar_shows_small_losses(config: Path, capfd: pytest.CaptureFixture):
    show = ["--trainer.enable_progress_bar", "true", "--trainer.max_epochs", "1"]
    assert main(["fit", "--config", str(config), *show]) == 0
    shown = capfd.readouterr().out
    losses = re.findall(r"source: (\S+)", shown)
    assert losses, shown
    assert float(losses[-1]) > 0
    assert len(losses[-1].lstrip("0.")) >= 2  # digits that say something: not 0.004
    assert "v_num" not in shown


def test_a_network_alone_is_no_run_to_go_on_with(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    network = {"skeleton": "body16", "backbone": "test_resnet", "deconv_channels": [8, 8, 8]}
    torch.save({"hyper_parameters": network, "state_dict": {}}, tmp_path / "given.ckpt")
    line = told(capsys, "fit", "--config", str(config), "--ckpt_path", str(tmp_path / "given.ckpt"))
    assert "holds a network and no run" in line


def test_mistakes_end_in_one_line(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    fit = ("fit", "--config", str(config))
    assert "'train'" in told(capsys, "train")
    assert "max_epoch" in told(capsys, *fit, "--trainer.max_epoch", "3")  # no abbreviations
    assert "batch_size" in told(capsys, *fit, "--data.batch_size", "many")
    assert "'gamma'" in told(capsys, *fit, "--model.init_args.gamma", "3")
    assert "cannot be read" in told(capsys, "fit", "--config", str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00model: \xe9")
    assert "binary.yaml is no valid YAML" in told(capsys, "fit", "--config", str(tmp_path / "binary.yaml"))
    assert "without a file" in told(capsys, "fit", "--config")
    assert "required" in told(capsys, "fit")  # data.source, or the model where jsonargparse is older
    assert "hammy" in told(capsys, *fit, "--data.source_views", "hammy")
    assert "does not exist" in told(capsys, "validate", *fit[1:], "--ckpt_path", str(tmp_path / "none.ckpt"))
    assert "data.predict is not given" in told(capsys, "predict", *fit[1:])
    assert "none.pth does not exist" in told(
        capsys, *fit, "--model.init_args.network.weights", str(tmp_path / "none.pth")
    )
    assert "resnet1000" in told(capsys, *fit, "--model.init_args.network.backbone", "resnet1000")
    assert "seed_everything: -1 is not in bounds" in told(capsys, *fit, "--seed_everything", "-1")
    assert "data.num_workers is -1, expected at least 0" in told(capsys, *fit, "--data.num_workers", "-1")
    for extra, words in (
        ({"modle": {"class_path": "HamiPose"}}, "modle"),
        ({"data": {"sauce": 1}}, "sauce"),
        ({"trainer": {"epochs": 1}}, "epochs"),
        ({"model": {"init_args": {"adaptation": {"lambda": 1}}}}, "lambda"),
    ):
        path = tmp_path / "extra.yaml"
        path.write_text(yaml.safe_dump({"inherit": str(config), **extra}))
        assert words in told(capsys, "fit", "--config", str(path))


def test_bad_data_end_in_one_line(config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    fit = ("fit", "--config", str(config))
    (tmp_path / "empty").mkdir()
    target = {"class_path": "hamipose.data.ImageFolder", "init_args": {"root": str(tmp_path / "empty")}}
    assert "holds no picture" in told(capsys, *fit, f"--data.target=[{json.dumps(target)}]")
    labeled = {"class_path": "hamipose.data.CocoKeypoints", "init_args": {"root": str(dots / "dark")}}
    assert "has labels" in told(capsys, *fit, f"--data.target=[{json.dumps(labeled)}]")
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file" in told(capsys, *fit, "--trainer.logger.init_args.save_dir", str(tmp_path / "file"))
    nowhere = {"class_path": "hamipose.data.LeedsSports", "init_args": {"root": str(tmp_path / "nowhere")}}
    assert "joints.mat does not exist" in told(capsys, *fit, f"--data.source={json.dumps(nowhere)}")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_picture_ends_in_one_line(
    config: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture, workers: str
):
    shutil.copytree(dots / "light", tmp_path / "light")
    for path in (tmp_path / "light" / "images").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    fit = ("fit", "--config", str(config), "--data.num_workers", workers)
    damaged = ("--data.validation.init_args.root", str(tmp_path / "light"))
    assert re.match(r"error: image \S+ is truncated", told(capsys, *fit, *damaged))
    damaged = ("--data.source.init_args.root", str(tmp_path / "light"), "--data.validation", "null")
    assert told(capsys, *fit, *damaged).startswith("error: 32 images in a row could not be read")


def test_target_labels_may_not_select(config: Path, capsys: pytest.CaptureFixture):
    callback = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "test/dark/teacher/pck@0.05"},
    }
    line = told(capsys, "fit", "--config", str(config), f"--trainer.callbacks=[{json.dumps(callback)}]")
    assert "monitors test/dark/teacher/pck@0.05" in line


def test_debug_shows_the_traceback(config: Path):
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
    with pytest.raises(UserError, match="no valid YAML"):
        resolve_inheritance(tmp_path / "f.yaml")


@pytest.mark.parametrize("inherit", ["5", "[5]", "{a: b}", "true"])
def test_what_a_config_inherits_from_are_names(tmp_path: Path, inherit: str):
    (tmp_path / "a.yaml").write_text(f"inherit: {inherit}\n")
    with pytest.raises(UserError, match=r"a\.yaml: inherit is .*, expected the name of a config, or a list of names"):
        resolve_inheritance(tmp_path / "a.yaml")

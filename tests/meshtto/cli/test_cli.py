"""Command line: help, configs, and errors in one line."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hamipose.config.config_file import expand_config_arguments, load_config, resolve_inheritance
from hamipose.errors import UserError
from meshtto.cli import _VERBS, HELP, main
from meshtto.data.datasets.h36m import _SUBJECTS
from meshtto.experiments.rows import PAPER
from meshtto.methods.options import dict_of_test_time
from tests.helpers.light_help import help_imports

CONFIGS = Path(__file__).parents[3] / "configs" / "meshtto"


def error_line(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Return the single line that an error prints."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in "".join(lines)
    return lines[-1]


def test_help_is_short_and_light():
    assert len(HELP.splitlines()) < 60
    assert help_imports("meshtto") == {verb: [] for verb in ("", *_VERBS)}


def test_cli_errors_are_one_line(capsys: pytest.CaptureFixture, tmp_path: Path):
    assert "unknown verb 'fitt'" in error_line(capsys, "fitt")
    picture = tmp_path / "a.png"
    assert "does not exist" in error_line(capsys, "predict", str(picture), "--checkpoint", str(tmp_path / "no.ckpt"))
    line = error_line(capsys, "predict", str(picture), "--checkpoint", "x", "--steps", "3", "--no-keypoints")
    assert "--no-keypoints" in line
    assert "expected a data set" in error_line(capsys, "evaluate", "--predictions", "x.npz", "--data", "Nothing")
    assert "is neither an option of the verb nor of BuiltinMeshes" in error_line(
        capsys, "evaluate", "--predictions", "x.npz", "--data", "BuiltinMeshes", "--conut", "3"
    )


def test_config_errors_are_one_line(capsys: pytest.CaptureFixture, tmp_path: Path):
    fit = ("fit", "--config", str(CONFIGS / "builtin_small.yaml"), "--trainer.accelerator", "cpu")
    assert "seed_everything: -1 is not in bounds" in error_line(capsys, *fit, "--seed_everything", "-1")
    assert "data.num_workers is -1, expected at least 0" in error_line(capsys, *fit, "--data.num_workers", "-1")
    (tmp_path / "a.yaml").write_text("inherit: 5\n")
    assert "inherit is 5" in error_line(capsys, "fit", "--config", str(tmp_path / "a.yaml"))
    assert "--seed: -1 is too small" in error_line(
        capsys, "data", "show", "--out", str(tmp_path / "a.png"), "--seed", "-1"
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_configs_do_not_select_by_test_labels(path: Path):
    for part in resolve_inheritance(path):
        for callback in (yaml.safe_load(part.read_text()).get("trainer") or {}).get("callbacks", []):
            assert not str((callback.get("init_args") or {}).get("monitor")).startswith("test/")
    data = load_config(path).get("data") or {}
    chosen_by = people_of(data["validation"]) if data.get("validation") else set()
    for spec in (data.get("test") or {}).values():
        assert not chosen_by & people_of(spec), "what chooses a checkpoint is a test set"


def people_of(spec: dict[str, Any]) -> set[tuple[str, ...]]:
    """Return identifiers of the people in a data set; for Human3.6M its subjects, which splits may share."""
    options = spec.get("init_args") or {}
    series = tuple(str(options.get(name)) for name in ("root", "file", "seed"))
    split = options.get("split")
    parts = _SUBJECTS[split] if spec["class_path"].endswith("Human36MMeshes") else [split]
    return {(spec["class_path"], *series, str(part)) for part in parts}


def build(path: Path, *options: str):
    """Build everything that `fit` builds, with small networks, without running it."""
    from meshtto.training import MeshCLI

    class Built(MeshCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Do nothing."""

        def _check_data(self) -> None:
            """Do nothing; there are no data."""

    regressor = "--model.init_args.regressor"
    small = [f"{regressor}.backbone", "test_resnet", f"{regressor}.width", "16", f"{regressor}.body", "builtin"]
    return Built(
        expand_config_arguments(["fit", "--config", str(path), *small, "--trainer.accelerator", "cpu", *options])
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["builtin_small", "builtin_small_regression", "builtin_small_meta"])
def test_builtin_configs_build(name: str):
    cli = build(CONFIGS / f"{name}.yaml")
    assert type(cli.model).__name__ == {"builtin_small": "Dual"}.get(name, name.rpartition("_")[2].capitalize())
    assert (cli.datamodule.size, cli.datamodule.steps_per_epoch) == ((64, 64), 150)
    assert [phase.steps for phase in cli.model.test_time.phases] == ([] if "regression" in name else [14])
    cli.before_fit()


@pytest.mark.slow
def test_paper_config_matches_the_paper():
    cli = build(CONFIGS / "cliff_resnet50.yaml")
    optimizer = cli.model.make_optimizer(cli.model.trainable_parts().parameters()).param_groups[0]
    assert (optimizer["lr"], tuple(optimizer["betas"])) == (1e-4, (0.9, 0.999))
    assert (cli.model.inner.steps, cli.model.inner.rule.lr, cli.model.inner.inner) == (1, 1e-5, "image")
    phase = cli.model.test_time.phases[0]
    assert (phase.steps, phase.rule.lr, phase.pseudo_mesh, cli.model.test_time.tolerance) == (14, 1e-5, True, 2e-5)
    assert (cli.datamodule.batch_size, cli.trainer.max_epochs, cli.datamodule.size) == (40, 65, (256, 192))
    assert cli.datamodule.steps_per_epoch is None  # an epoch is one pass over the largest set
    assert cli.datamodule.shares == [0.5, 0.2, 0.1, 0.2]
    assert cli.model.training_options.final_lr_ratio == 1.0


@pytest.mark.slow
def test_table_row_eft_equals_eft_defaults():
    """The row tests a trained Regression with the adaptation and the loss that are the defaults of EFT."""
    from meshtto.methods import EFT

    (line,) = [line for line in PAPER if line.label.startswith("EFT")]
    options = [word for key, value in line.options.items() for word in (f"--{key}", value)]
    model = build(CONFIGS / line.training.config, *options).model
    defaults = inspect.signature(EFT).parameters
    assert dict_of_test_time(model.test_time) == dict_of_test_time(defaults["test_time"].default)
    assert model.loss_weights == defaults["loss"].default


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cliff_hrnet48", "hmr_resnet50", "finetune_3dpw"])
def test_other_paper_configs_build(name: str):
    cli = build(CONFIGS / f"{name}.yaml")
    expected = {"cliff_hrnet48": (30, 25), "hmr_resnet50": (40, 65), "finetune_3dpw": (40, 5)}[name]
    assert (cli.datamodule.batch_size, cli.trainer.max_epochs) == expected
    assert cli.datamodule.steps_per_epoch is None
    assert len(cli.datamodule.train) == (5 if name == "finetune_3dpw" else 4)


@pytest.mark.slow
def test_released_code_config_matches_the_code(tmp_path: Path):
    """It initializes both networks, and has the options that tests/meshtto/methods/test_released_code.py runs."""
    from meshtto.body import load_body, mean_parameters
    from meshtto.regressors import CLIFF
    from meshtto.regressors.published import to_published

    mean = mean_parameters(load_body("builtin"))
    pose, cliff = (CLIFF(mean, "test_resnet", iterations=3, width=16) for _ in range(2))
    weights = {f"backbone.{name}": tensor for name, tensor in pose.backbone.state_dict().items()}
    torch.save({"state_dict": {**weights, "keypoint_head.bias": torch.zeros(17)}}, tmp_path / "pose.pth")
    state = to_published(cliff.state_dict(), "encoder.")
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "cliff.pt")
    config, init = CONFIGS / "released_code.yaml", "--model.init_args"
    with pytest.raises(UserError, match=r"weights data/published/pose_resnet\.pth does not exist"):
        build(config)
    with pytest.raises(UserError, match=r"data/published/res50-PA45\.7_MJE72\.0_MVE85\.3_3dpw\.pt does not exist"):
        build(config, f"{init}.regressor.weights", str(tmp_path / "pose.pth"))
    cli = build(
        config,
        *(f"{init}.regressor.weights", str(tmp_path / "pose.pth")),
        *(f"{init}.auxiliary.published", str(tmp_path / "cliff.pt")),
    )
    model = cli.model
    assert torch.equal(model.regressor.backbone.state_dict()["conv1.0.weight"], weights["backbone.conv1.0.weight"])
    assert torch.equal(model.auxiliary.head.fc1.weight, cliff.head.fc1.weight)
    assert (model.inner.inner, model.inner.masked) == ("shared", True)
    assert (model.auxiliary_loss, model.second_order) == (False, False)
    assert (model.regressor.head.iterations, model.auxiliary.head.iterations) == (10, 3)
    assert not any(p.requires_grad for p in model.auxiliary.parameters())
    assert [(p.steps, p.scope, p.inner, p.pseudo_mesh, p.masked) for p in model.test_time.phases] == [
        (1, "head", "shared", True, True),
        (14, "all", "shared", False, False),
    ]
    assert model.test_time.phases[1].loss == {"keypoints": 1.0, "camera": 0.0}
    assert (model.test_time.tolerance, model.test_time.stop_after_step) == (2e-5, True)


@pytest.mark.slow
def test_auxiliary_options_can_be_given_alone(tmp_path: Path):
    """Unnamed options, and all with null, are those of the regressor."""
    option = ("--model.init_args.auxiliary.iterations", "1")
    (tmp_path / "null.yaml").write_text(
        f"inherit: {CONFIGS / 'builtin_small.yaml'}\nmodel: {{init_args: {{auxiliary: null}}}}\n"
    )
    for path, words, changed in (
        (CONFIGS / "builtin_small.yaml", option, {"iterations": 1}),
        (tmp_path / "null.yaml", (), {}),
    ):
        model = build(path, *words).model
        assert model.hparams["auxiliary"] == {**model.hparams["regressor"], **changed}

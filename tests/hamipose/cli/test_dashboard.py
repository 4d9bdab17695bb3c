"""The panels of the workspace name logged columns; nothing is sent."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hamipose.cli import main
from hamipose.cli.dashboard import build
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError
from hamipose.skeletons import SKELETONS

pytest.importorskip("wandb_workspaces", reason="the extra `wandb` is not installed")


def keys(panel: Any) -> list[str]:
    """Return the logged names of a panel."""
    shown = [getattr(panel, name, None) or [] for name in ("y", "metrics", "media_keys")]
    return [getattr(key, "name", key) for each in shown for key in each]


def panels(workspace: Any) -> Iterator[tuple[str, Any]]:
    for section in workspace.sections:
        for panel in section.panels:
            yield section.name, panel


@pytest.fixture(scope="module")
def logged(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the logged names of a tiny run of HamiPose from the shipped config, with a test set `dark`."""
    folder = tmp_path_factory.mktemp("dashboard")

    def people(look: str, **options: object) -> dict[str, Any]:
        arguments = {"root": str(dots / look), "box": "image", **options}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": arguments}

    network = {"backbone": "test_resnet", "weights": "none", "deconv_channels": [8, 8, 8]}
    data = {
        "source": people("light"),
        "target": [{"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": people("dark")}}],
        "validation": people("light", count=4),
        "test": {"dark": people("dark", count=4)},
        "image_size": 32,
        "batch_size": 4,
        "steps_per_epoch": 2,
        "num_workers": 0,
    }
    trainer = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": {"init_args": {"save_dir": str(folder), "name": "", "version": "run"}},
    }
    options = {"training": {"warmup_steps": 1}, "adaptation": {"pretrain_steps": 0}}
    model = {"init_args": {"network": network, **options}}
    content = {"inherit": str(configs_folder() / "base.yaml"), "model": model, "data": data, "trainer": trainer}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    assert main(["fit", "--config", str(folder / "tiny.yaml")]) == 0
    with (folder / "run/metrics.csv").open() as file:
        names = set(next(csv.reader(file)))
    images = (folder / "run/images").iterdir()  # loggers that accept images get them under the name of the set
    return names | {"images/" + re.sub(r"-\d+$", "", path.stem).replace("-", "/") for path in images}


@pytest.mark.slow
def test_panels_show_all_logged_names(logged: set[str]):
    workspace = build("me", "mine", SKELETONS["body16"], ["dark"])
    shown = {key: name for name, panel in panels(workspace) for key in keys(panel)}
    assert len(shown) > 80
    assert {key for key in shown if key not in logged} == set()
    training = {key for key in logged if key.startswith("train/") and key not in ("train/corrupt_images",)}
    assert training - set(shown) == set()


def test_workspace_has_all_sections():
    workspace = build("me", "mine", SKELETONS["body16"])
    by_section: dict[str, list[str]] = {}
    for name, panel in panels(workspace):
        by_section.setdefault(name, []).extend(keys(panel))
    for words, key in (
        ("Losses", "train/source_loss"),
        ("Conflict", "train/conflict/left_knee"),
        ("Gate", "train/openness/left_knee"),
        ("Weights", "train/weight/left_knee"),
        ("Energy", "train/hamiltonian"),
        ("PCK", "val/teacher/pck@0.05/knee"),
        ("Predictions", "images/val"),
        ("Comparison", "val/pck"),
    ):
        (section,) = [name for name in by_section if name.startswith(words)]
        assert key in by_section[section]
    compared = [panel.groupby for name, panel in panels(workspace) if name.startswith("Comparison") and keys(panel)]
    assert {str(getattr(key, "name", key)) for key in compared} == {"JobType", "Group"}
    assert [key.name for key in workspace.runset_settings.groupby] == ["Group", "JobType"]
    spec = workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)  # what would be sent
    assert "train/hamiltonian" in spec
    assert json.loads(spec)


def test_workspace_of_hands_shows_hand_keypoints():
    shown = {key for _, panel in panels(build("me", "mine", SKELETONS["hand21"])) for key in keys(panel)}
    assert f"train/conflict/{SKELETONS['hand21'].keypoints[3]}" in shown
    assert "train/conflict/left_knee" not in shown


def test_missing_package_or_account_is_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
):
    command = ["dashboard", "--entity", "me", "--project", "mine"]
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("wandb.util._is_likely_interactive", lambda: False, raising=False)
    assert main(command) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert "cannot be saved to me/mine" in errors[-1]
    assert "wandb login" in errors[-1]
    assert main([*command, "--skeleton", "horse"]) == 2
    assert "--skeleton is 'horse'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'hamipose\[wandb\]'"):
        build("me", "mine", SKELETONS["body16"])


def test_dashboard_prints_the_saved_workspace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    import wandb_workspaces.workspaces as ws

    saved = []
    monkeypatch.setattr(ws.Workspace, "save", lambda self: saved.append(self))
    assert main(["dashboard", "--entity", "me", "--project", "mine", "--test-sets", "lsp"]) == 0
    (workspace,) = saved
    shown = {key for _, panel in panels(workspace) for key in keys(panel)}
    assert {"test/lsp/pck", "test/lsp/teacher/pck@0.05/elbow"} <= shown
    assert "me/mine" in capsys.readouterr().out

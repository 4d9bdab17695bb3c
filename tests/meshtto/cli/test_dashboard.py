"""The panels of the workspace name logged columns; nothing is sent."""

from typing import Any

import pytest

from meshtto.cli import main
from meshtto.cli.dashboard import build

pytest.importorskip("wandb_workspaces", reason="the extra `wandb` is not installed")


def shown_names(workspace: Any) -> set[str]:
    names = set()
    for panel in (panel for section in workspace.sections for panel in section.panels):
        for attribute in ("y", "metrics", "media_keys"):
            names |= {getattr(key, "name", key) for key in getattr(panel, attribute, None) or []}
    return names


def test_workspace_shows_errors_after_every_step():
    shown = shown_names(build("me", "mine", ["3dpw"], steps=2))
    assert {"train/loss", "val/pve", "test/3dpw/pa_mpjpe", "val/mpjpe/after_2", "images/test/3dpw"} <= shown
    assert "val/mpjpe/after_3" not in shown


def test_dashboard_prints_the_saved_workspace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    import wandb_workspaces.workspaces as ws

    saved: list[Any] = []
    monkeypatch.setattr(ws.Workspace, "save", lambda self: saved.append(self))
    assert main(["dashboard", "--entity", "me", "--project", "mine"]) == 0
    assert len(saved) == 1
    assert "me/mine" in capsys.readouterr().out
    assert main(["dashboard", "--entity", "me", "--project", "mine", "--steps", "-1"]) == 2

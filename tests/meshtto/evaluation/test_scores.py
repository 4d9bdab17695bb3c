from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Trainer

from meshtto.evaluation.scores import Evaluation, Scores
from meshtto.methods.base import MeshMethod


@pytest.mark.parametrize("sanity", [False, True])
def test_step_errors_are_logged_under_dashboard_names(sanity: bool, monkeypatch: pytest.MonkeyPatch):
    logged: dict[str, float] = {}
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.update({**metrics, "step": step}))
    trainer = Mock(
        spec=Trainer,
        sanity_checking=sanity,
        is_global_zero=True,
        state=SimpleNamespace(fn="fit"),
        lightning_module=None,
        global_step=7,
        current_epoch=0,
    )
    method = SimpleNamespace(
        trainer=trainer,
        loggers=[logger],
        global_step=7,
        protocol=lambda phases: SimpleNamespace(as_dict=dict),
        log_dict=lambda scores, **_: None,
        log=lambda name, value, **_: None,
        _log_position=lambda: None,
        _phases=[],
        _evaluation=Evaluation(["val"], 2, torch.device("cpu")),
    )
    curves = {"mpjpe": [90.0, 80.0, 70.0], "pa_mpjpe": [50.0, 45.0, 44.0], "pve": [99.0] * 3, "error_2d": [3.0] * 3}
    curves["moved"] = [0.0, 1.0, 2.0]
    assert set(Scores("val", 2).curves()) == set(curves)
    monkeypatch.setattr(Scores, "curves", lambda self: curves)
    MeshMethod.end_evaluation(method)  # type: ignore[arg-type]
    if sanity:
        assert logged == {}
        return
    assert logged.pop("step") == 7
    assert logged == {f"val/{e}/after_{n}": curves[e][n] for e in ("mpjpe", "pa_mpjpe") for n in range(3)}
    pytest.importorskip("wandb_workspaces")
    from meshtto.cli.dashboard import build

    panels = [panel for section in build("me", "mine", steps=2).sections for panel in section.panels]
    shown = set()
    for panel in panels:
        keys = getattr(panel, "metrics", None) or getattr(panel, "y", None) or ()
        shown |= {getattr(key, "name", key) for key in keys}
    assert {key for key in shown if key.startswith("val/")} == {*logged, *Scores("val", 2).compute()}

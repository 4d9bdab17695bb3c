"""Diagnostics that training logs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from hamipose.evaluation.diagnostics import Diagnostics, StepResult
from hamipose.methods import CCSSL, CGDM, MDAM, PGDA, SFHPE, MeanTeacher, RegDA, UniFrame
from hamipose.methods.base import PoseMethod
from hamipose.methods.ccssl import CurriculumOptions
from hamipose.methods.mdam import MDAMOptions
from hamipose.methods.options import AdaptationOptions
from hamipose.skeletons import BODY16
from tests.helpers.pose_training import TINY, sgd, train

HALF = AdaptationOptions(target_weight=0.5)

#: Each adapting method, and the weight of its target loss.
FACTORS: dict[str, tuple[Any, float]] = {
    "MeanTeacher": (lambda: MeanTeacher(sgd, TINY, adaptation=HALF), 0.5),
    "UniFrame": (lambda: UniFrame(sgd, TINY, adaptation=HALF), 0.5),
    "PGDA": (lambda: PGDA(sgd, TINY, adaptation=HALF), 0.5),
    "SFHPE": (lambda: SFHPE(sgd, TINY, adaptation=HALF), 0.5),
    "CCSSL": (lambda: CCSSL(sgd, TINY, target_weight=7.0, curriculum=CurriculumOptions(views=1)), 7.0),
    "RegDA": (lambda: RegDA(sgd, TINY, target_weight=0.7), 0.7),
    "CGDM": (lambda: CGDM(sgd, TINY, adaptation=HALF, supervision=0.2), 0.1),
    "MDAM": (
        lambda: MDAM(
            sgd, TINY, adaptation=HALF, options=MDAMOptions(refinement_width=8, classifier_width=4, views=1)
        ),
        0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", FACTORS)
def test_target_loss_and_weighted_potential_are_logged(
    method: str, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results: list[StepResult] = []
    add = Diagnostics.add
    monkeypatch.setattr(Diagnostics, "add", lambda self, result: results.append(result) or add(self, result))
    make, factor = FACTORS[method]
    model: PoseMethod = make()
    torch.nn.init.normal_(model.network.final.weight, std=0.1)
    train(model, dots, tmp_path, {"steps_per_epoch": 2}, logger=CSVLogger(tmp_path, name="", version="run"))
    header, *rows = (line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines())
    (row,) = (r for r in (dict(zip(header, row, strict=True)) for row in rows) if r["train/source_loss"])
    source, target, potential = (float(row[f"train/{name}"]) for name in ("source_loss", "target_loss", "potential"))
    assert target == pytest.approx(sum(float(o.target.detach().sum()) for o in results) / 2, rel=1e-4)
    assert target > 0
    assert potential == pytest.approx(source + factor * target, rel=1e-4)
    if method in ("MeanTeacher", "UniFrame", "CCSSL"):  # these have no other loss term
        assert potential == pytest.approx(sum(float(o.loss.detach()) for o in results) / 2, rel=1e-4)


def test_target_means_are_over_steps_with_a_target():
    diagnostics = Diagnostics(BODY16)
    ones = torch.ones(16)
    diagnostics.add(StepResult(ones.sum(), ones))
    for _ in range(2):
        diagnostics.add(StepResult(ones.sum(), ones, 3 * ones, target_weight=2.0))
    assert diagnostics.flush() == {"train/source_loss": 16.0, "train/target_loss": 48.0, "train/potential": 112.0}
    diagnostics.add(StepResult(ones.sum(), ones))
    assert diagnostics.flush() == {"train/source_loss": 16.0, "train/potential": 16.0}
    assert diagnostics.flush() == {}

"""Callbacks of both packages."""

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_summary import summarize
from torch import nn

from hamipose.engine.callbacks import Summary


class Pair(LightningModule):
    """A trainable student, a frozen teacher, and a loss without parameters."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher, self.loss = nn.Linear(999, 1), nn.Linear(999, 1).requires_grad_(False), nn.MSELoss()


def test_summary_prints_one_line(capsys: pytest.CaptureFixture[str]):
    Summary().on_fit_start(Trainer(accelerator="cpu", logger=False), Pair())
    assert capsys.readouterr().out == "Parameters: student 1.0 K, teacher 1.0 K; 1.0 K of 2.0 K are trained\n"
    assert summarize(Pair()).total_parameters == 2000

"""Run `fit`, `validate`, `test` and `predict` of 2D pose methods from a config."""

from pathlib import Path
from typing import Any

from rich.console import Console

from hamipose.command_line.lightning import Application, run_application
from hamipose.data.datamodule import DomainAdaptation
from hamipose.engine.checkpoints import run_folder
from hamipose.engine.run_record import resume_arguments
from hamipose.evaluation.run_report import write_run_report
from hamipose.evaluation.score_metrics import METRICS
from hamipose.methods.base import PoseMethod
from hamipose.models.checkpoint import read_checkpoint

__all__ = ["HamiPoseCLI", "run", "train_in"]


class HamiPoseCLI(Application):
    """Lightning's command line for pose methods and data.

    Args:
        arguments: the command line.
    """

    def __init__(self, arguments: list[str]):
        super().__init__(PoseMethod, DomainAdaptation, METRICS[0].headline("val"), arguments)

    def read_checkpoint(self, path: str | Path) -> dict[str, Any]:
        """See :func:`read_checkpoint`."""
        return read_checkpoint(path)

    def after_fit(self) -> None:
        """Write a report of the run if its metrics were written to a file."""
        if self.trainer.is_global_zero and ((folder := run_folder(self.trainer)) / "metrics.csv").is_file():
            write_run_report(folder)

    def print_scores(self) -> None:
        """Print a table for each metric, with a row for each set and network."""
        scores = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        for metric in METRICS:
            if rows := metric.rows(scores):
                Console().print(metric.table(rows).to_rich())


def run(arguments: list[str]) -> HamiPoseCLI:
    """Run a verb, see :func:`run_application`."""
    return run_application(HamiPoseCLI, arguments)


def train_in(folder: Path, arguments: list[str]) -> None:
    """Run a training, resume it if it was interrupted, or do nothing if it is finished.

    Args:
        folder: folder of the run, which the arguments name, too.
        arguments: arguments of `fit`.
    """
    if not (folder / "scores.json").exists():
        run(["fit", *resume_arguments(folder, arguments)])

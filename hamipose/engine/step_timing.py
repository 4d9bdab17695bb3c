"""Time a few steps of a run that has not started, to estimate how long it takes."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from hamipose.config.config_file import load_config
from hamipose.engine.runs import Run, RunCommand, command_line_options, last_message
from hamipose.io.atomic_file import write_text
from hamipose.io.json_file import read_record

__all__ = ["StepTimes", "time_steps"]

#: Steps before the timed ones, in which kernels are chosen and caches are filled.
_WARM_UP = 2
#: Options of methods for a phase on the source alone, whose steps are cheaper.
_PHASES = (("adaptation", "pretrain_steps"), ("pretrain_steps",))


class StepTimes(Callback):
    """Write the median time between the ends of training steps to a JSON file.

    Args:
        path: the file.
    """

    def __init__(self, path: str):
        self.path = Path(path)
        self._ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Note the time."""
        self._ends.append(time.monotonic())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        ends = self._ends[_WARM_UP - 1 :]
        seconds = statistics.median(after - before for before, after in pairwise(ends))
        if trainer.is_global_zero:
            write_text(self.path, json.dumps({"seconds": seconds}) + "\n")


def time_steps(run: Run, steps: int, command: RunCommand) -> float:
    """Return the seconds per training step of a run, with data loading and without evaluation.

    The run is started in a temporary folder, with random weights if the checkpoint that it starts from is missing, and
    without a phase on the source alone.

    Args:
        run: a training.
        steps: number of timed steps.
        command: runs a command.

    Raises:
        RuntimeError: the run fails; the message is the last error in its log.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, times = Path(temporary) / "run", Path(temporary) / "times.json"
        timer = {"class_path": f"{__name__}.StepTimes", "init_args": {"path": str(times)}}
        options = {
            "data.steps_per_epoch": str(_WARM_UP + steps),
            "trainer.max_epochs": "1",
            "trainer.limit_val_batches": "0",
            "trainer.num_sanity_val_steps": "0",
            "trainer.enable_checkpointing": "false",
            "trainer.callbacks": json.dumps([timer]),
            **{f"model.init_args.{'.'.join(path)}": "0" for path in _phases(run)},
        }
        words = [run.program, *_without_missing_start(run), *command_line_options(options, folder)]
        log = Path(temporary) / "log.txt"
        if command(words, log) or not times.exists():
            raise RuntimeError(last_message(log))
        return float(read_record(times, "seconds")["seconds"])


def _without_missing_start(run: Run) -> list[str]:
    """Return the arguments without the options that name the checkpoint to start from, if it does not exist."""
    words = list(run.arguments)
    if run.after is None or run.after.last.exists():
        return words
    while str(run.after.last) in words:
        value = words.index(str(run.after.last))
        del words[value - 1 : value + 1]
    return words


def _phases(run: Run) -> Iterator[tuple[str, ...]]:
    """Yield the options of the run's configs that give a phase on the source alone a length."""
    words = run.arguments
    for name in (words[i + 1] for i, word in enumerate(words) if word == "--config"):
        for path in _PHASES:
            value: Any = (load_config(Path(name)).get("model") or {}).get("init_args")
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value:
                yield path

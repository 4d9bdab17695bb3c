"""The last scores of a run as a JSON file, whatever logger is in use, with the protocol they were taken under."""

import json
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from hamipose.io.whole_file import write_text
from hamipose.running.last_checkpoint import run_folder
from hamipose.running.score_callback import ScoreCallback

__all__ = ["ScoreFile"]


class ScoreFile(ScoreCallback):
    """Writes ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json``.

    Each holds the protocol and, for every set, the errors after 0, 1, 2 … steps of adaptation and joint by joint.

    Args:
        path: the file; in the run's folder where not given.
    """

    def __init__(self, path: str | None = None):
        super().__init__()
        self.path = path

    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the module's results; a run that evaluates nothing has an empty file."""
        results = getattr(pl_module, "results", None)
        if not trainer.is_global_zero or trainer.sanity_checking or not (results or self._fitted):
            return
        results = results or {"protocol": {}, "sets": {}}  # a run without anything to evaluate has ended all the same
        content = {"method": type(pl_module).__name__, **self.position(trainer), **results}
        path = run_folder(trainer) / name if self.path is None else Path(self.path)
        write_text(path, json.dumps(content, indent=1) + "\n")

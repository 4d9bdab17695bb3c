"""The last scores of a run as a JSON file, whatever logger is in use."""

import json

from lightning.pytorch import LightningModule, Trainer

from hamipose.engine.checkpoints import run_folder
from hamipose.engine.score_callback import ScoreCallback
from hamipose.io.atomic_file import write_text

__all__ = ["ScoreFile"]


class ScoreFile(ScoreCallback):
    """Writes ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json`` to the run's folder."""

    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """What was logged last."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        scores = {
            key: round(float(value), 6)
            for key, value in sorted(trainer.callback_metrics.items())
            if key.startswith(("val/", "test/"))
        }
        content = {**self.position(trainer), "scores": scores}
        write_text(run_folder(trainer) / name, json.dumps(content, indent=1) + "\n")

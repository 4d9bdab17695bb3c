"""The last scores of a run as a JSON file, whatever logger is in use."""

import json

from lightning.pytorch import Callback, LightningModule, Trainer

from hamipose.running.last_checkpoint import run_folder

__all__ = ["ScoreFile"]


class ScoreFile(Callback):
    """Writes ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json`` to the run's folder."""

    def __init__(self) -> None:
        self._fitted = False

    def _write(self, trainer: Trainer, name: str) -> None:
        folder = run_folder(trainer)  # asked on every process: without a logger they agree on it by talking
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        scores = {
            key: round(float(value), 6)
            for key, value in sorted(trainer.callback_metrics.items())
            if key.startswith(("val/", "report/"))
        }
        content = {"step": trainer.global_step, "epoch": trainer.current_epoch, "scores": scores}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1) + "\n")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After training."""
        self._fitted = True
        self._write(trainer, "scores.json")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the verb `validate`, and where a run is evaluated after its end, as it would have been before it."""
        if trainer.state.fn == "validate":
            self._write(trainer, "scores.json" if self._fitted else "scores-validate.json")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the verb `test`."""
        self._write(trainer, "scores-test.json")

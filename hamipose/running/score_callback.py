"""When a run's scores are written to a file, and what the file is called."""

from abc import abstractmethod

from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["ScoreCallback"]


class ScoreCallback(Callback):
    """Writes ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json``."""

    def __init__(self) -> None:
        self._fitted = False

    @abstractmethod
    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the last scores, on one process.

        Args:
            trainer: knows the run.
            pl_module: what was evaluated.
            name: of the file.
        """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After training."""
        self._fitted = True
        self.write(trainer, pl_module, "scores.json")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the verb `validate`, and where a run is evaluated after its end, as it would have been before it."""
        if trainer.state.fn == "validate":
            self.write(trainer, pl_module, "scores.json" if self._fitted else "scores-validate.json")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the verb `test`."""
        self.write(trainer, pl_module, "scores-test.json")

"""When a run's scores are written to a file, and what the file is called."""

from abc import abstractmethod

from lightning.pytorch import Callback, LightningModule, Trainer

from hamipose.engine.run_position import Trained, trained

__all__ = ["ScoreCallback"]


class ScoreCallback(Callback):
    """Writes ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json``."""

    def __init__(self) -> None:
        self._fitted = False
        self._measured: Trained | None = None

    @abstractmethod
    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the last scores, on one process.

        Args:
            trainer: knows the run.
            pl_module: what was evaluated.
            name: of the file.
        """

    def position(self, trainer: Trainer) -> dict[str, int]:
        """Return where the scores were measured, and after `fit` where training ended, which may be later."""
        now = trained(trainer)
        step, epoch = self._measured or now
        return {
            "step": step,
            "epoch": epoch,
            **({"last_step": now.step, "last_epoch": now.epoch} if self._fitted else {}),
        }

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of the last evaluation."""
        self._fitted = True
        self.write(trainer, pl_module, "scores.json")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of `validate`, and of a run that is evaluated after its end, as `fit` would have."""
        if trainer.sanity_checking:
            return
        self._measured = trained(trainer)
        if trainer.state.fn == "validate":
            self.write(trainer, pl_module, "scores.json" if self._fitted else "scores-validate.json")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of `test`."""
        self._fitted, self._measured = False, trained(trainer)
        self.write(trainer, pl_module, "scores-test.json")

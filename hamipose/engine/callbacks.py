"""Callbacks of both packages: images and score files of evaluations, progress bar, parameter summary."""

from abc import abstractmethod
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.utilities.model_summary import get_human_readable_count

from hamipose.engine.checkpoints import RunPosition, run_folder, run_position
from hamipose.io.image_file import write_image

__all__ = ["EvaluationImages", "Progress", "ScoreCallback", "Summary"]


class EvaluationImages(Callback):
    """Base class of callbacks that draw the first batch of each evaluation set, every few epochs and in the last one.

    Images are sent to loggers that accept images (as images/val, images/test/…), else written as PNG files to the run
    folder.

    Args:
        every_n_epochs: number of epochs between drawings.
    """

    def __init__(self, every_n_epochs: int):
        self.every_n_epochs = every_n_epochs

    @abstractmethod
    def draw(self, method: Any, batch: Any) -> UInt8[np.ndarray, "height width 3"]:
        """Draw a batch as one RGB image.

        Args:
            method: the method that is being trained, in eval mode.
            batch: a batch of one set.
        """

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch of each set."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        if batch_idx > 0 or trainer.sanity_checking or not due or not trainer.is_global_zero:
            return
        image, step = self.draw(pl_module, batch), run_position(trainer).step
        name = getattr(trainer, "datamodule", None).evaluation_names()[dataloader_idx]  # type: ignore[union-attr]
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for logger in loggers:
            logger.log_image(f"images/{name}", [image], step=step)
        if not loggers:
            path = run_folder(trainer) / "images" / f"{name.replace('/', '-')}-{step:06d}.png"
            write_image(path, image)


class ScoreCallback(Callback):
    """Base class of callbacks that write ``scores.json`` (`fit`), ``scores-validate.json`` or ``scores-test.json``."""

    def __init__(self) -> None:
        self._fitted = False
        self._measured: RunPosition | None = None

    @abstractmethod
    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the last scores; called on all processes.

        Args:
            trainer: the trainer of the run.
            pl_module: the evaluated method.
            name: name of the file.
        """

    def position(self, trainer: Trainer) -> dict[str, int]:
        """Return the position at which the scores were measured, and after `fit` also that of the end of training."""
        now = run_position(trainer)
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
        """Write the scores of `validate`; after `fit` in the same process they replace the scores of `fit`."""
        if trainer.sanity_checking:
            return
        self._measured = run_position(trainer)
        if trainer.state.fn == "validate":
            self.write(trainer, pl_module, "scores.json" if self._fitted else "scores-validate.json")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of `test`."""
        self._fitted, self._measured = False, run_position(trainer)
        self.write(trainer, pl_module, "scores-test.json")


class Progress(RichProgressBar):
    """Lightning's progress bar with three significant digits: heatmap losses are thousandths, which it shows as 0.00.

    The logger's version is left out, because the bar only shows its last four letters.
    """

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3g"))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the metrics that the method logs for the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class Summary(ModelSummary):
    """One line with the parts of a method that have parameters, and the number of trained parameters.

    Lightning's table takes fourteen lines and counts unknown FLOPs as 0.
    """

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        *_: Any,
        **__: Any,
    ) -> None:
        """Print the line."""
        readable = get_human_readable_count
        columns = dict(summary_data)
        parts = [f"{n} {p}" for n, p in zip(columns["Name"], columns["Params"], strict=True) if p.strip() != "0"]
        counts = f"{readable(trainable_parameters)} of {readable(total_parameters)}"
        print(f"Parameters: {', '.join(parts)}; {counts} are trained", flush=True)

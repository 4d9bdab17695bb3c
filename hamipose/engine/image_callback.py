"""Pictures of evaluation sets, to be looked at while training runs."""

from abc import abstractmethod
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer

from hamipose.engine.checkpoints import run_folder
from hamipose.engine.run_position import trained
from hamipose.io.image_file import write_image

__all__ = ["EvaluationImages"]


class EvaluationImages(Callback):
    """Draws the first batch of each evaluation set, in the epochs that are due and the last one.

    Sent to loggers that take images (as images/val, images/test/…), else PNGs in the run's folder.

    Args:
        every_n_epochs: how often.
    """

    def __init__(self, every_n_epochs: int):
        self.every_n_epochs = every_n_epochs

    @abstractmethod
    def draw(self, method: Any, batch: Any) -> UInt8[np.ndarray, "height width 3"]:
        """One picture of a batch, RGB.

        Args:
            method: that is being trained, in eval mode.
            batch: of one set.
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
        picture, step = self.draw(pl_module, batch), trained(trainer).step
        name = getattr(trainer, "datamodule", None).evaluation_names()[dataloader_idx]  # type: ignore[union-attr]
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for logger in loggers:
            logger.log_image(f"images/{name}", [picture], step=step)
        if not loggers:
            path = run_folder(trainer) / "images" / f"{name.replace('/', '-')}-{step:06d}.png"
            write_image(path, picture)

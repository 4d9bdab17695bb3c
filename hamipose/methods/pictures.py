"""Predictions as pictures, to be looked at while training runs."""

from typing import Any

import cv2
import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from hamipose.draw import draw_keypoints, grid
from hamipose.heatmaps import decode
from hamipose.models.preprocess import normalise
from hamipose.running.last_checkpoint import run_folder
from hamipose.types import LabelledBatch

__all__ = ["PredictionImages"]


class PredictionImages(Callback):
    """Draws the first images of each evaluation set; sent to loggers that take images, else PNGs in the run's folder.

    Args:
        count: images of each set.
        every_n_epochs: how often.
    """

    def __init__(self, count: int = 8, every_n_epochs: int = 5):
        self.count = count
        self.every_n_epochs = every_n_epochs

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: LabelledBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch of each set."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        if batch_idx > 0 or trainer.sanity_checking or not due or not trainer.is_global_zero:
            return
        images = batch.image[: self.count]
        skeleton: Any = pl_module.skeleton
        keypoints_px, confidence = decode(pl_module(normalise(images)).float())
        drawn = [
            draw_keypoints(np.ascontiguousarray(image), points, skeleton, shown)
            for image, points, shown in zip(
                images.permute(0, 2, 3, 1).cpu().numpy(),
                keypoints_px.cpu().numpy(),
                (confidence > 0.1).cpu().numpy(),
                strict=True,
            )
        ]
        picture = grid(drawn, columns=4)
        name = getattr(trainer, "datamodule", None).evaluation_names()[dataloader_idx]  # type: ignore[union-attr]
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for logger in loggers:
            logger.log_image(f"images/{name}", [picture], step=trainer.global_step)
        if not loggers:
            path = run_folder(trainer) / "images" / f"{name.replace('/', '-')}-{trainer.global_step:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture[..., ::-1])

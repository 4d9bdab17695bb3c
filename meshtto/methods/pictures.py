"""Recovered meshes as pictures, to be looked at while training runs."""

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from hamipose.draw import grid
from hamipose.running.last_checkpoint import run_folder
from meshtto.body.picture import paint_mesh
from meshtto.losses import Prediction
from meshtto.methods.recovery import size_of
from meshtto.methods.targets import box_of
from meshtto.types import MeshBatch

__all__ = ["MeshImages"]

_HEIGHT = 192  # what smaller crops are enlarged to


class MeshImages(Callback):
    """Draws the first people of each evaluation set: the crop, the network's mesh, and the mesh after adaptation.

    Sent to loggers that take images (as images/val, images/report/…), else PNGs in the run's folder.

    Args:
        count: people of each set.
        every_n_epochs: how often.
    """

    def __init__(self, count: int = 4, every_n_epochs: int = 5):
        self.count = count
        self.every_n_epochs = every_n_epochs

    def _draw(self, trainer: Trainer, method: Any, batch: MeshBatch, name: str) -> None:
        some = _first(batch, self.count)
        seen: list[Prediction] = []
        last = method.recover(some, watch=lambda step, prediction: seen.append(prediction)).prediction
        shown = [seen[0], last] if len(seen) > 1 else [last]
        crops = _enlarged(some.image)
        painted = [_painted(crops, prediction, method, some) for prediction in shown]
        rows = [picture for row in zip(crops, *painted, strict=True) for picture in row]
        picture = grid(rows, columns=1 + len(shown))
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        for logger in loggers:
            logger.log_image(f"images/{name}", [picture], step=trainer.global_step)
        if not loggers:
            path = run_folder(trainer) / "images" / f"{name.replace('/', '-')}-{trainer.global_step:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture[..., ::-1])

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: MeshBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch of each set, in the epochs that are due."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        if batch_idx > 0 or trainer.sanity_checking or not due or not trainer.is_global_zero:
            return
        names = getattr(trainer, "datamodule", None).evaluation_names()  # type: ignore[union-attr]
        self._draw(trainer, pl_module, batch, names[dataloader_idx])


def _first(batch: MeshBatch, count: int) -> MeshBatch:
    """A batch of the first people."""
    return MeshBatch(**{name: value[:count] for name, value in vars(batch).items()})


def _enlarged(images: UInt8[Tensor, "batch 3 height width"]) -> list[np.ndarray]:
    """Crops as pictures, RGB."""
    factor = max(1, _HEIGHT // images.shape[-2])
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    return [cv2.resize(p, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for p in pictures]


@torch.no_grad()
def _painted(crops: list[np.ndarray], prediction: Prediction, method: Any, batch: MeshBatch) -> list[np.ndarray]:
    """The crops with meshes over them."""
    size = size_of(batch)
    pixels = method.regressor.camera.project(prediction.vertices_m, prediction.camera, box_of(batch), size)
    factor = crops[0].shape[0] / size[0]
    enlarged = ((pixels + 0.5) * factor - 0.5).float().cpu().numpy()
    faces, vertices = method.body.faces.cpu().numpy(), prediction.vertices_m.float().cpu().numpy()
    return [
        paint_mesh(crop, where, vertex, faces, 0.85)
        for crop, where, vertex in zip(crops, enlarged, vertices, strict=True)
    ]

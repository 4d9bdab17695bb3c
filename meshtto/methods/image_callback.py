"""Callback that logs images of recovered meshes during training."""

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hamipose.engine.callbacks import EvaluationImages
from hamipose.viz.drawing import make_grid
from meshtto.body.painter import paint_mesh
from meshtto.camera import crop_box
from meshtto.methods.targets import crop_size
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["MeshImages"]

_HEIGHT = 192  # minimum height to which small crops are enlarged


class MeshImages(EvaluationImages):
    """Draw the first people of each evaluation set: the crop, the network's mesh, and the mesh after adaptation.

    Args:
        count: people per set.
        every_n_epochs: interval in epochs.
    """

    def __init__(self, count: int = 4, every_n_epochs: int = 5):
        super().__init__(every_n_epochs)
        self.count = count

    def draw(self, method: Any, batch: MeshBatch) -> UInt8[np.ndarray, "height width 3"]:
        """See :class:`EvaluationImages`."""
        some = _first(batch, self.count)
        seen: list[BodyPrediction] = []
        last = method.recover(some, watch=lambda step, prediction: seen.append(prediction)).prediction
        shown = [seen[0], last] if len(seen) > 1 else [last]
        crops = _enlarged(some.image)
        painted = [_painted(crops, prediction, method, some) for prediction in shown]
        return make_grid([one for row in zip(crops, *painted, strict=True) for one in row], columns=1 + len(shown))


def _first(batch: MeshBatch, count: int) -> MeshBatch:
    """Return a batch of the first people."""
    return MeshBatch(**{name: value[:count] for name, value in vars(batch).items()})


def _enlarged(images: UInt8[Tensor, "batch 3 height width"]) -> list[np.ndarray]:
    """Return the crops as RGB images."""
    factor = max(1, _HEIGHT // images.shape[-2])
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    return [cv2.resize(p, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for p in arrays]


@torch.no_grad()
def _painted(crops: list[np.ndarray], prediction: BodyPrediction, method: Any, batch: MeshBatch) -> list[np.ndarray]:
    """Draw meshes over the crops."""
    size = crop_size(batch)
    pixels = method.regressor.camera.project(prediction.vertices_m, prediction.camera, crop_box(batch), size)
    factor = crops[0].shape[0] / size[0]
    enlarged = ((pixels + 0.5) * factor - 0.5).float().cpu().numpy()
    faces, vertices = method.body.faces.cpu().numpy(), prediction.vertices_m.float().cpu().numpy()
    return [
        paint_mesh(crop, where, vertex, faces, 0.85)
        for crop, where, vertex in zip(crops, enlarged, vertices, strict=True)
    ]

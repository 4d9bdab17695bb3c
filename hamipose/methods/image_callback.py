"""Images of predictions during training."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from hamipose.engine.callbacks import EvaluationImages
from hamipose.models.preprocess import normalize
from hamipose.types import LabeledBatch
from hamipose.viz.drawing import draw_keypoints, magnify, make_grid

__all__ = ["PredictionImages"]


class PredictionImages(EvaluationImages):
    """Draws the first images of each evaluation set with their predicted keypoints.

    Args:
        count: number of images of each set.
        every_n_epochs: number of epochs between drawings.
    """

    def __init__(self, count: int = 8, every_n_epochs: int = 5):
        super().__init__(every_n_epochs)
        self.count = count

    def draw(self, method: Any, batch: LabeledBatch) -> UInt8[np.ndarray, "height width 3"]:
        """Draw the first images of a batch as a grid."""
        images = batch.image[: self.count]
        keypoints_px, confidence = method.encoding.decode(method(normalize(images)).float())
        images_drawn = [
            draw_keypoints(*magnify(image, points), method.skeleton, shown)
            for image, points, shown in zip(
                images.permute(0, 2, 3, 1).cpu().numpy(),
                keypoints_px.cpu().numpy(),
                (confidence > 0.1).cpu().numpy(),
                strict=True,
            )
        ]
        return make_grid(images_drawn, columns=4)

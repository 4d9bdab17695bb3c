"""Predictions as pictures, to be looked at while training runs."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from hamipose.engine.callbacks import EvaluationImages
from hamipose.models.preprocess import normalize
from hamipose.types import LabeledBatch
from hamipose.viz.drawing import draw_keypoints, magnify, make_grid

__all__ = ["PredictionImages"]


class PredictionImages(EvaluationImages):
    """The first images of each evaluation set with the keypoints that are found in them.

    Args:
        count: images of each set.
        every_n_epochs: how often.
    """

    def __init__(self, count: int = 8, every_n_epochs: int = 5):
        super().__init__(every_n_epochs)
        self.count = count

    def draw(self, method: Any, batch: LabeledBatch) -> UInt8[np.ndarray, "height width 3"]:
        """See :class:`EvaluationImages`."""
        images = batch.image[: self.count]
        keypoints_px, confidence = method.encoding.decode(method(normalize(images)).float())
        drawn = [
            draw_keypoints(*magnify(image, points), method.skeleton, shown)
            for image, points, shown in zip(
                images.permute(0, 2, 3, 1).cpu().numpy(),
                keypoints_px.cpu().numpy(),
                (confidence > 0.1).cpu().numpy(),
                strict=True,
            )
        ]
        return make_grid(drawn, columns=4)

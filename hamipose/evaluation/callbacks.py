"""Callbacks that write the files of an evaluation: scores, and predictions in COCO format."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from hamipose.engine.callbacks import ScoreCallback
from hamipose.engine.checkpoints import run_folder
from hamipose.engine.distributed import gather_rows
from hamipose.io.atomic_file import write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco

__all__ = ["PredictionBatch", "PredictionWriter", "ScoreFile"]


class ScoreFile(ScoreCallback):
    """Writes the last scores to the run's folder, with any logger.

    The file is ``scores.json`` after `fit`, ``scores-validate.json`` or ``scores-test.json``.
    """

    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the scores that were logged last."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        scores = {
            key: round(float(value), 6)
            for key, value in sorted(trainer.callback_metrics.items())
            if key.startswith(("val/", "test/"))
        }
        content = {**self.position(trainer), "scores": scores}
        write_text(run_folder(trainer) / name, json.dumps(content, indent=1) + "\n")


@dataclass
class PredictionBatch:
    """Predictions for a batch of people, in pixels of the original images."""

    keypoints_px: Float[Tensor, "batch keypoint 2"]
    confidence: Float[Tensor, "batch keypoint"]
    region_px: Float[Tensor, "batch 4"]
    """Left, top, width and height of the network's input."""
    name: list[str]
    index: Int[Tensor, " batch"]
    """Position in the data set; −1 for padding of the batch."""
    size_px: Int[Tensor, "batch 2"] | None = None
    """Width and height of the original images."""


class PredictionWriter(BasePredictionWriter):
    """Writes the predictions of the verb `predict`.

    `hamipose.io.coco_writer` describes the file; it can be used as a data set. Each frame of a video is a separate
    image.

    Args:
        path: path of the file; default: ``predictions.json`` in the run's folder.
    """

    def __init__(self, path: str | None = None):
        super().__init__("epoch")
        self.path = path

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: LightningModule, predictions: Any, batch_indices: Any
    ) -> None:
        """Gather the predictions of all processes and write the file once."""
        rows = []
        for batch in predictions:
            sizes = [None] * len(batch.name) if batch.size_px is None else batch.size_px.tolist()
            columns = (batch.keypoints_px.tolist(), batch.confidence.tolist(), batch.region_px.tolist(), sizes)
            rows += [row for row in zip(batch.index.tolist(), batch.name, *columns, strict=True) if row[0] >= 0]
        rows = gather_rows(rows)
        if not trainer.is_global_zero:
            return
        path = Path(self.path) if self.path else run_folder(trainer) / "predictions.json"
        people = [PredictedPerson(*row[1:]) for row in sorted(rows, key=lambda row: row[0])]
        skeleton: Any = pl_module.skeleton
        dataset = getattr(getattr(trainer, "datamodule", None), "predict", None)
        content = build_coco(people, skeleton, upright=bool(getattr(dataset, "upright", False)))
        write_text(path, json.dumps(content) + "\n")
        print(f"{len(people)} predictions written to {path}")

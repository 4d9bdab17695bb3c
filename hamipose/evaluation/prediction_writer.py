"""Predictions as an annotation file in COCO keypoint format, which every tool of the field reads, ours included."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from hamipose.engine.checkpoints import run_folder
from hamipose.io.atomic_file import write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco

__all__ = ["PredictionBatch", "PredictionWriter"]


@dataclass
class PredictionBatch:
    """What was found in a batch of people, in pixels of the original images."""

    keypoints_px: Float[Tensor, "batch keypoint 2"]
    confidence: Float[Tensor, "batch keypoint"]
    region_px: Float[Tensor, "batch 4"]
    """Left, top, width and height of what the network was shown."""
    name: list[str]
    index: Int[Tensor, " batch"]
    """Position in the data set; −1 for what only fills a batch up."""
    size_px: Int[Tensor, "batch 2"] | None = None
    """Width and height of the original images."""


class PredictionWriter(BasePredictionWriter):
    """Writes what the verb `predict` finds.

    The file is as `hamipose.io.coco_writer` says; it can be read again as a data set. Each frame of a video is an
    image of its own.

    Args:
        path: the file; ``predictions.json`` in the run's folder where not given.
    """

    def __init__(self, path: str | None = None):
        super().__init__("epoch")
        self.path = path

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: LightningModule, predictions: Any, batch_indices: Any
    ) -> None:
        """Gather from all processes and write once."""
        rows = []
        for found in predictions:
            sizes = [None] * len(found.name) if found.size_px is None else found.size_px.tolist()
            columns = (found.keypoints_px.tolist(), found.confidence.tolist(), found.region_px.tolist(), sizes)
            rows += [row for row in zip(found.index.tolist(), found.name, *columns, strict=True) if row[0] >= 0]
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, rows)
            rows = [row for share in gathered for row in share]
        if not trainer.is_global_zero:
            return
        path = Path(self.path) if self.path else run_folder(trainer) / "predictions.json"
        people = [PredictedPerson(*row[1:]) for row in sorted(rows, key=lambda row: row[0])]
        skeleton: Any = pl_module.skeleton
        dataset = getattr(getattr(trainer, "datamodule", None), "predict", None)
        content = build_coco(people, skeleton, upright=bool(getattr(dataset, "upright", False)))
        write_text(path, json.dumps(content) + "\n")
        print(f"{len(people)} predictions written to {path}")

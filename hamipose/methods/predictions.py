"""Predictions as an annotation file in COCO keypoint format, which every tool of the field reads, ours included."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from hamipose.methods.last_checkpoint import run_folder

__all__ = ["PredictionWriter"]


class PredictionWriter(BasePredictionWriter):
    """Writes what the verb `predict` finds.

    The file lists images, annotations with ``keypoints`` (x, y, 2 for each, in pixels of the original image),
    ``keypoint_scores`` and ``score`` (their mean), and the keypoints' names; it can be read again as a data set.

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
        for keypoints_px, confidence, names, index in predictions:
            for i, number in enumerate(index.tolist()):
                if number >= 0:
                    rows.append((number, names[i], keypoints_px[i].tolist(), confidence[i].tolist()))
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, rows)
            rows = [row for share in gathered for row in share]
        if not trainer.is_global_zero:
            return
        files = {name.split("#")[0]: None for _, name, *_ in sorted(rows)}
        identifier = {file: i for i, file in enumerate(files, 1)}
        annotations = [
            {
                "id": number + 1,
                "image_id": identifier[name.split("#")[0]],
                "category_id": 1,
                "keypoints": [v for x, y in points for v in (round(x, 2), round(y, 2), 2)],
                "num_keypoints": len(points),
                "keypoint_scores": [round(score, 4) for score in scores],
                "score": round(sum(scores) / len(scores), 4),
            }
            for number, name, points, scores in sorted(rows)
        ]
        skeleton = pl_module.skeleton
        content = {
            "images": [{"id": i, "file_name": file} for file, i in identifier.items()],
            "annotations": annotations,
            "categories": [
                {
                    "id": 1,
                    "name": "person",
                    "keypoints": list(skeleton.keypoints),
                    "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_indices],
                }
            ],
        }
        path = Path(self.path) if self.path else run_folder(trainer) / "predictions.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) + "\n")
        print(f"{len(annotations)} predictions written to {path}")

"""Callbacks that write a run's final scores and predictions to files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from hamipose.engine.callbacks import ScoreCallback
from hamipose.engine.checkpoints import run_folder
from hamipose.engine.distributed import gather_rows
from hamipose.io.atomic_file import atomic_path, write_text

__all__ = ["PredictionFile", "ScoreFile"]


class ScoreFile(ScoreCallback):
    """Write ``scores.json`` (after `fit`), ``scores-validate.json`` or ``scores-test.json``.

    Each contains the protocol and, for every set, the errors after 0, 1, 2 … adaptation steps and per joint.

    Args:
        path: the file; default: in the run's folder.
    """

    def __init__(self, path: str | None = None):
        super().__init__()
        self.path = path

    def write(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        """Write the module's results; a run that evaluates nothing writes empty ones."""
        results = getattr(pl_module, "results", None)
        if not trainer.is_global_zero or trainer.sanity_checking or not (results or self._fitted):
            return
        results = results or {"protocol": {}, "sets": {}}  # marks the run as finished
        content = {"method": type(pl_module).__name__, **self.position(trainer), **results}
        path = run_folder(trainer) / name if self.path is None else Path(self.path)
        write_text(path, json.dumps(content, indent=1) + "\n")


class PredictionFile(BasePredictionWriter):
    """Write the predictions of the verb `predict` to one NPZ file, which the verb `evaluate` reads.

    Its arrays are ``index``, ``name``, ``rotations``, ``shape``, ``camera``, ``keypoints_px``, the ``steps`` taken, and
    whether adaptation ``diverged``. Rows are in the order of the data set. Vertices can be computed from rotations and
    shape with the same body.

    Args:
        path: the file; default: ``predictions.npz`` in the run's folder.
    """

    def __init__(self, path: str | None = None):
        super().__init__("epoch")
        self.path = path

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: LightningModule, predictions: Any, batch_indices: Any
    ) -> None:
        """Gather predictions from all processes and write them once."""
        rows = []
        for batch, recovery in predictions:
            made = recovery.prediction
            columns = (made.rotations, made.shape, made.camera, made.keypoints_px, recovery.steps, recovery.diverged)
            arrays = [column.cpu().numpy() for column in columns]
            found = zip(batch.index.tolist(), batch.name, *arrays, strict=True)
            rows += [row for row in found if row[0] >= 0]
        rows = gather_rows(rows)
        if not trainer.is_global_zero:
            return
        rows.sort(key=lambda row: row[0])
        path = Path(self.path) if self.path else run_folder(trainer) / "predictions.npz"
        names = ("index", "name", "rotations", "shape", "camera", "keypoints_px", "steps", "diverged")
        columns_of: Any = {name: np.stack([row[i] for row in rows]) for i, name in enumerate(names)}
        with atomic_path(path) as beside:
            np.savez_compressed(beside, **columns_of)
        print(f"{len(rows)} predictions written to {path}")

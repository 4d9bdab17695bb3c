"""The checkpoint to resume from: written before an epoch is evaluated, so that nothing can cost a finished epoch."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from hamipose.io.atomic_file import atomic_path
from hamipose.io.checkpoint_file import read_checkpoint_file

__all__ = ["AtomicCheckpoints", "LastCheckpoint", "run_folder"]


def run_folder(trainer: Trainer) -> Path:
    """Return where a run's files go: the logger's folder of this run if there is one.

    Any process may ask, alone or not: ``trainer.log_dir``, which says the same, is a broadcast in which all must take
    part. Only the answer on the first process counts: a logger on another may have numbered its version differently.
    """
    logger = trainer.logger
    if logger is None:
        return Path(trainer.default_root_dir)
    folder = getattr(logger, "log_dir", None)
    if folder is None and logger.save_dir is not None:  # W&B's save_dir is shared by its runs
        folder = Path(logger.save_dir) / str(logger.name) / str(logger.version)
    return Path(folder or trainer.default_root_dir)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoint files appear whole or not at all: a run killed while it writes keeps its previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside the file, then put it in its place."""
        with atomic_path(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint on the CPU; nothing in it is executed, and an unreadable one raises `UserError`."""
        return read_checkpoint_file(path)


class LastCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` of the run's folder up to date.

    Args:
        every_n_steps: save this often inside an epoch, too; at each epoch's last step alone where not given.
    """

    def __init__(self, every_n_steps: int | None = None):
        self.every_n_steps = every_n_steps
        self.path: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """All processes agree on the folder."""
        self.path = Path(trainer.strategy.broadcast(str(run_folder(trainer)))) / "checkpoints" / "last.ckpt"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where due."""
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        if due or batch_idx + 1 == trainer.num_training_batches or trainer.global_step == trainer.max_steps:
            assert self.path is not None
            trainer.save_checkpoint(self.path)

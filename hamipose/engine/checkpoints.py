"""Checkpoint files: atomic writing, the last checkpoint of a run, the random state and the position in the run."""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from hamipose.engine.optimization import epoch_steps
from hamipose.io.atomic_file import atomic_path
from hamipose.io.tensor_file import read_checkpoint_file

__all__ = [
    "AtomicCheckpoints",
    "LastCheckpoint",
    "RunPosition",
    "get_random_state",
    "run_folder",
    "run_position",
    "set_random_state",
]


def run_folder(trainer: Trainer) -> Path:
    """Return the folder for a run's files: the logger's folder of this run, if there is a logger.

    Any process may call this alone; ``trainer.log_dir``, which is the same folder, is a broadcast in which all
    processes must take part. Use the result of the first process only: a logger of another process may have chosen
    another version number.
    """
    logger = trainer.logger
    if logger is None:
        return Path(trainer.default_root_dir)
    folder = getattr(logger, "log_dir", None)
    if folder is None and logger.save_dir is not None:  # W&B's save_dir is shared by its runs
        folder = Path(logger.save_dir) / str(logger.name) / str(logger.version)
    return Path(folder or trainer.default_root_dir)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoint files that are replaced as a whole: a run killed while it writes keeps its previous checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a temporary file beside `path`, then rename it."""
        with atomic_path(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint on the CPU without executing anything in it.

        Raises:
            UserError: the file cannot be read.
        """
        return read_checkpoint_file(path)


class LastCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` in the run folder up to date.

    The checkpoint is written before an epoch is evaluated, so that a crash in the evaluation does not lose the epoch.

    Args:
        every_n_steps: also save this often within an epoch; default: only at the last step of each epoch.
    """

    def __init__(self, every_n_steps: int | None = None):
        self.every_n_steps = every_n_steps
        self.path: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Use the first process's run folder on all processes."""
        self.path = Path(trainer.strategy.broadcast(str(run_folder(trainer)))) / "checkpoints" / "last.ckpt"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the last step of an epoch and every `every_n_steps` steps."""
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        if due or batch_idx + 1 == trainer.num_training_batches or trainer.global_step == trainer.max_steps:
            assert self.path is not None
            trainer.save_checkpoint(self.path)


def get_random_state() -> dict[str, Any]:
    """Return the random states of torch, its GPUs, NumPy and Python as tensors and plain types."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  libraries draw from it
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, np.int64)), *(float(r) for r in rest)],
        "python": [version, list(internal), gauss],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the random states that :func:`get_random_state` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if len(state["cuda"]) == torch.cuda.device_count() and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), int(position), int(has_gauss), gauss))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


class RunPosition(NamedTuple):
    """Length of the training of a network, which its scores and images are labeled with."""

    step: int
    """Steps taken."""
    epoch: int
    """Epochs finished."""

    @classmethod
    def from_steps(cls, step: int, per_epoch: int | None, epoch: int) -> "RunPosition":
        """Return the position after `step` steps; `epoch` is used if the length of an epoch is unknown."""
        return cls(step, step // per_epoch if per_epoch else epoch)

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> "RunPosition":
        """Return the position of a checkpoint's network."""
        per_epoch = checkpoint.get("run", {}).get("steps_per_epoch")
        return cls.from_steps(checkpoint.get("global_step", 0), per_epoch, checkpoint.get("epoch", 0))


def run_position(trainer: Trainer) -> RunPosition:
    """Return the position of the network that a trainer trains or evaluates.

    Outside of `fit` Lightning's counters stay at 0. The position is then that of the checkpoint, which the module keeps
    in its attribute `loaded`, or (0, 0) for a network that was not trained.
    """
    loaded = getattr(trainer.lightning_module, "loaded", None)
    if trainer.state.fn != "fit" and trainer.ckpt_path and loaded is not None:
        return loaded
    return RunPosition.from_steps(trainer.global_step, epoch_steps(trainer), trainer.current_epoch)

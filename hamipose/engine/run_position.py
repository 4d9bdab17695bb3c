"""How long the network at hand has been trained: what scores and pictures of it are labeled with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning.pytorch import Trainer

from hamipose.engine.optimization import epoch_steps

__all__ = ["Trained", "trained"]


class Trained(NamedTuple):
    """A position in a run."""

    step: int
    """Steps taken."""
    epoch: int
    """Epochs finished."""

    @classmethod
    def at(cls, step: int, per_epoch: int | None, epoch: int) -> "Trained":
        """Return the position after `step` steps; `epoch` serves where the length of an epoch is unknown."""
        return cls(step, step // per_epoch if per_epoch else epoch)

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> "Trained":
        """Return the position of a checkpoint's network."""
        per_epoch = checkpoint.get("run", {}).get("steps_per_epoch")
        return cls.at(checkpoint.get("global_step", 0), per_epoch, checkpoint.get("epoch", 0))


def trained(trainer: Trainer) -> Trained:
    """Return the position of the network that a trainer trains or evaluates.

    Outside of `fit` Lightning's counters stand still: there it is that of the checkpoint, which the module keeps as
    its attribute `loaded`; (0, 0) for a network that was not trained.
    """
    loaded = getattr(trainer.lightning_module, "loaded", None)
    if trainer.state.fn != "fit" and trainer.ckpt_path and loaded is not None:
        return loaded
    return Trained.at(trainer.global_step, epoch_steps(trainer), trainer.current_epoch)

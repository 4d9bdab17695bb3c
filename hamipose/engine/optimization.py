"""What manual optimization leaves to us: the run's length, and the optimizer's parameter groups."""

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from hamipose.errors import UserError

__all__ = ["epoch_steps", "new_optimizer", "parameter_groups", "total_steps"]


def epoch_steps(trainer: Trainer) -> int | None:
    """Return the steps of an epoch as far as the data module decides them, else None."""
    per_epoch = getattr(getattr(trainer, "datamodule", None), "steps_per_epoch", None)
    if per_epoch is None:
        return None
    limit = trainer.limit_train_batches
    return int(per_epoch * limit) if isinstance(limit, float) else min(per_epoch, limit)


def total_steps(trainer: Trainer) -> float:
    """Length of the whole run in steps; infinite for a run without an end.

    Lightning's own estimate would start the loading processes before a resumed run knows at which step it is.
    """
    per_epoch = epoch_steps(trainer)
    if per_epoch is None:
        return float(trainer.estimated_stepping_batches)
    epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
    return float(min(epochs * per_epoch, math.inf if trainer.max_steps == -1 else trainer.max_steps))


def parameter_groups(
    network: nn.Module, factors: dict[str, float] | None, optimizer: OptimizerCallable
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """All parameters as one group, or one group for each part of the network with a learning rate of its own.

    Args:
        network: its children are the parts.
        factors: learning rate of each part as a multiple of the optimizer's.
        optimizer: makes the optimizer.

    Raises:
        UserError: the factors do not name each part that has parameters.
    """
    if factors is None:
        return list(network.parameters())
    parts = {name: list(part.parameters()) for name, part in network.named_children()}
    parts = {name: parameters for name, parameters in parts.items() if parameters}
    if set(factors) != set(parts):
        raise UserError(
            f"training.lr_factors names {', '.join(factors)}; expected each part of the network: {', '.join(parts)}"
        )
    # A group's learning rate has to be absolute: read what the optimizer would have used.
    base = optimizer([nn.Parameter(torch.zeros(1))]).defaults["lr"]
    return [{"params": parameters, "lr": base * factors[name]} for name, parameters in parts.items()]


def new_optimizer(
    network: nn.Module, factors: dict[str, float] | None, make: OptimizerCallable
) -> torch.optim.Optimizer:
    """An optimizer of all parameters, grouped as :func:`parameter_groups` does.

    Raises:
        UserError: the factors do not name each part, or the optimizer refuses its options.
    """
    try:
        return make(parameter_groups(network, factors, make))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"model.init_args.optimizer: {error}") from error

"""Optimizer and schedules: parameter groups, length of the run, learning rates and loss weights over it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from hamipose.errors import UserError

__all__ = [
    "epoch_steps",
    "inverse_decay",
    "new_optimizer",
    "parameter_groups",
    "polynomial",
    "ramp_down",
    "ramp_up",
    "step_decay",
    "total_steps",
    "warmup_cosine",
]


def epoch_steps(trainer: Trainer) -> int | None:
    """Return the number of steps of an epoch if the data module defines it, else None."""
    per_epoch = getattr(getattr(trainer, "datamodule", None), "steps_per_epoch", None)
    if per_epoch is None:
        return None
    limit = trainer.limit_train_batches
    return int(per_epoch * limit) if isinstance(limit, float) else min(per_epoch, limit)


def total_steps(trainer: Trainer) -> float:
    """Return the length of the whole run in steps; infinite for a run without an end.

    Lightning's own estimate would start the worker processes before a resumed run has its step.
    """
    per_epoch = epoch_steps(trainer)
    if per_epoch is None:
        return float(trainer.estimated_stepping_batches)
    epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
    return float(min(epochs * per_epoch, math.inf if trainer.max_steps == -1 else trainer.max_steps))


def parameter_groups(
    network: nn.Module, factors: dict[str, float] | None, optimizer: OptimizerCallable
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """Return all parameters as one group, or one group with its own learning rate for each part of the network.

    Args:
        network: a module whose children are the parts.
        factors: part → its learning rate as a multiple of the optimizer's; None for one group.
        optimizer: creates the optimizer.

    Raises:
        UserError: the factors do not name exactly the parts that have parameters.
    """
    if factors is None:
        return list(network.parameters())
    parts = {name: list(part.parameters()) for name, part in network.named_children()}
    parts = {name: parameters for name, parameters in parts.items() if parameters}
    if set(factors) != set(parts):
        raise UserError(
            f"training.lr_factors names {', '.join(factors)}; expected each part of the network: {', '.join(parts)}"
        )
    # The learning rate of a group is absolute: read the optimizer's default.
    base = optimizer([nn.Parameter(torch.zeros(1))]).defaults["lr"]
    return [{"params": parameters, "lr": base * factors[name]} for name, parameters in parts.items()]


def new_optimizer(
    network: nn.Module, factors: dict[str, float] | None, make: OptimizerCallable
) -> torch.optim.Optimizer:
    """Create an optimizer of all parameters, grouped by :func:`parameter_groups`.

    Raises:
        UserError: the factors do not name exactly the parts, or the optimizer rejects its options.
    """
    try:
        return make(parameter_groups(network, factors, make))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"model.init_args.optimizer: {error}") from error


def warmup_cosine(step: int, warmup: int, total: float | int, final: float | int = 0.0) -> float:
    """Return the learning rate factor: linear from 1/warmup to 1, then half a cosine down to `final`.

    Args:
        step: steps taken so far.
        warmup: length of the warm-up in steps.
        total: length of the run in steps; if infinite, the factor stays at 1 after the warm-up.
        final: factor at the end.

    >>> [round(warmup_cosine(s, 2, 6), 3) for s in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    if math.isinf(total):
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def inverse_decay(step: int, rate: float = 1e-4, power: float = 0.75) -> float:
    r"""Return :math:`(1 + r i)^{-p}` (Ganin & Lempitsky, ICML 2015; RegDA).

    >>> [round(inverse_decay(i), 4) for i in (0, 10000)]
    [1.0, 0.5946]
    """
    return (1 + rate * step) ** -power


def polynomial(step: int, total: float | int, power: float = 0.9) -> float:
    r"""Return :math:`(1 - i/N)^p`, which ends at 0; always 1 for a run without an end.

    >>> [round(polynomial(i, 10), 4) for i in (0, 5, 10)]
    [1.0, 0.5359, 0.0]
    """
    return max(0.0, 1 - step / total) ** power


def step_decay(step: int, total: float | int, milestones: Sequence[float], factor: float = 0.1) -> float:
    """Return a factor that is multiplied by `factor` at each milestone, a fraction of the run.

    >>> [round(step_decay(i, 70, (45 / 70, 60 / 70)), 4) for i in (0, 44, 45, 60)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return factor ** sum(step >= round(milestone * total) for milestone in milestones if not math.isinf(total))


def ramp_up(epoch: float | int, length: float | int) -> float:
    r"""Return :math:`\exp(-5 (1 - e/T)^2)`, and 1 from T on: an increasing weight (Laine & Aila, ICLR 2017).

    >>> [round(ramp_up(e, 10), 4) for e in (0, 5, 10, 20)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    return math.exp(-5 * (1 - min(epoch, length) / length) ** 2) if length > 0 else 1.0


def ramp_down(epoch: float | int, length: float | int) -> float:
    r"""Return :math:`\tfrac12 (\cos(\pi e/T) + 1)`, and 0 from T on: a decreasing weight.

    >>> [round(ramp_down(e, 10), 4) for e in (0, 5, 10, 20)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return 0.5 * (math.cos(math.pi * min(epoch, length) / length) + 1) if length > 0 else 0.0

"""Sums over processes that gradients flow through, for losses that are not a mean over samples."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.nn import functional as differentiable

__all__ = ["batch_mean", "summed", "untouched"]


def _many() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, in which each process's share keeps its gradient.

    A loss of it, back-propagated on every process and averaged as DDP does, has the gradient that one process with the
    whole batch would see.
    """
    return differentiable.all_reduce(tensor) if _many() else tensor


def batch_mean(samples: Tensor) -> Tensor:
    """The mean over the first dimension, of all processes' samples together; gradients flow as in :func:`summed`."""
    return summed(samples.sum(0)) / summed(samples.new_tensor(float(len(samples))))


def untouched(parameters: Iterable[nn.Parameter]) -> Tensor | float:
    """Nothing, as a function of parameters that a loss leaves out: DDP waits for a gradient of each.

    Their gradients have to be taken away again after the backward pass, or an optimizer would count the step.
    """
    return sum(p.sum() for p in parameters) * 0.0 if _many() else 0.0

"""What processes share: sums that gradients flow through, for losses that are no mean over samples, and draws."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.distributed.nn import functional as differentiable

__all__ = ["batch_mean", "gathered", "own_rows", "summed", "untouched"]


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


def gathered(samples: Tensor) -> Tensor:
    """All processes' samples, along the first dimension; no gradient flows. Every process has equally many."""
    samples = samples.detach().contiguous()
    if not _many():
        return samples
    shares = [torch.empty_like(samples) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(shares, samples)
    return torch.cat(shares)


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """What is drawn for this process's samples, from a generator that is seeded alike on all processes.

    Each draws for the whole batch and takes its own rows, so that none repeats another's and all go on alike.

    Args:
        draw: makes that many rows.
        count: samples of each process.
    """
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if _many() else (0, 1)
    return draw(count * world)[rank * count : (rank + 1) * count]


def untouched(parameters: Iterable[nn.Parameter]) -> Tensor | float:
    """Nothing, as a function of parameters that a loss leaves out: DDP waits for a gradient of each.

    Their gradients have to be taken away again after the backward pass, or an optimizer would count the step.
    """
    return sum(p.sum() for p in parameters) * 0.0 if _many() else 0.0

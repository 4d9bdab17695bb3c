"""Gradients at other points than the network's own: what sharpness-aware and gradient-matching methods share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["displaced", "frozen_statistics", "length", "set_gradient", "take_gradient"]


@torch.no_grad()
def take_gradient(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The gradient that a backward pass left, taken out: the next pass starts from nothing."""
    taken = [torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return taken


@torch.no_grad()
def set_gradient(parameters: Sequence[nn.Parameter], gradient: Sequence[Tensor]) -> None:
    """Put a gradient where the optimizer finds it."""
    for parameter, value in zip(parameters, gradient, strict=True):
        parameter.grad = value


@torch.no_grad()
def length(vector: Sequence[Tensor]) -> Float[Tensor, ""]:
    """The Euclidean norm of a vector that is given in parts."""
    return torch.stack(torch._foreach_norm(list(vector))).norm()


@contextmanager
def displaced(parameters: Sequence[nn.Parameter], vector: Sequence[Tensor]) -> Iterator[None]:
    r"""Inside, the network stands at :math:`\theta + v`; afterwards at :math:`\theta` again, to the last bit.

    (Subtracting v again would not do: :math:`(\theta + v) - v` is rounded twice.)

    Args:
        parameters: θ.
        vector: v, a tensor for each parameter.
    """
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        torch._foreach_add_(list(parameters), list(vector))
    # Autocast keeps its low-precision copies of weights for a whole training step: passes would see the old ones.
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), before)
        torch.clear_autocast_cache()


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm still normalizes with the batch at hand but keeps its running statistics as they are.

    A pass at a displaced point would count its batch twice otherwise, and with another network's activations.
    """
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True

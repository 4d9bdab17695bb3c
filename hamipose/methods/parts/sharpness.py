"""Gradients at displaced parameters, for sharpness-aware and gradient-matching methods."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["displaced", "frozen_statistics", "length", "set_gradient", "take_gradient"]


@torch.no_grad()
def take_gradient(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the gradient of a backward pass and clear it, so that the next pass starts from zero."""
    taken = [torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return taken


@torch.no_grad()
def set_gradient(parameters: Sequence[nn.Parameter], gradient: Sequence[Tensor]) -> None:
    """Set the gradient for the optimizer."""
    for parameter, value in zip(parameters, gradient, strict=True):
        parameter.grad = value


@torch.no_grad()
def length(vector: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return the Euclidean norm of a vector that is split into parts."""
    return torch.stack(torch._foreach_norm(list(vector))).norm()


@contextmanager
def displaced(parameters: Sequence[nn.Parameter], vector: Sequence[Tensor]) -> Iterator[None]:
    r"""Return a context manager that sets parameters to :math:`\theta + v`, and restores exactly θ at its end.

    (Subtracting v would not be exact: :math:`(\theta + v) - v` is rounded twice.)

    Args:
        parameters: θ.
        vector: v, a tensor for each parameter.
    """
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        torch._foreach_add_(list(parameters), list(vector))
    # Autocast caches low-precision copies of weights during a training step: passes would use the old weights.
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), before)
        torch.clear_autocast_cache()


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Return a context manager in which BatchNorm normalizes with the batch but does not update running statistics.

    Otherwise a pass at a displaced point would count its batch a second time, with other activations.
    """
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True

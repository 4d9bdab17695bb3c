"""Update rules as functions of tensors, so that a second derivative can pass through them."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["SGD", "Adam", "UpdateRule", "clip_factor"]


class UpdateRule(ABC):
    """An optimizer that does not own parameters: it maps parameters and gradients to new parameters.

    Attributes:
        lr: step size.
        clip_norm: maximum norm of one image's gradient over all adapted parameters; longer gradients are scaled before
            :meth:`step` gets them.
    """

    lr: float
    clip_norm: float | None = None

    @abstractmethod
    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        """Return new parameters and the new state; the initial state is None."""


class SGD(UpdateRule):
    r"""Gradient descent, :math:`w \leftarrow w - \alpha \min(1, c / \|g\|)\, g`.

    The published code has no c. Without it, a step overshoots as soon as α times the largest curvature of an image's
    loss exceeds 2, and a camera scale that becomes negative this way does not recover. With it, no weight changes by
    more than α c in a step.

    Args:
        lr: α.
        clip_norm: c.
    """

    def __init__(self, lr: float = 1e-5, clip_norm: float | None = None) -> None:
        self.lr = _positive(lr)
        self.clip_norm = None if clip_norm is None else _positive(clip_norm, "clip_norm")

    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        """Take a step of gradient descent."""
        return [p - self.lr * g for p, g in zip(parameters, gradients, strict=True)], None


class _Moments(NamedTuple):
    step: int
    first: list[Tensor]
    second: list[Tensor]


class Adam(UpdateRule):
    """Adam (Kingma and Ba, 2015, algorithm 1).

    Args:
        lr: step size.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        eps: added to the square root.
    """

    def __init__(self, lr: float = 1e-5, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.lr = _positive(lr)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        """Take a step of Adam."""
        zeros = [torch.zeros_like(g) for g in gradients]
        old = state if isinstance(state, _Moments) else _Moments(0, zeros, zeros)
        step = old.step + 1
        first = [m.lerp(g, 1 - self.beta1) for m, g in zip(old.first, gradients, strict=True)]
        second = [v.lerp(g.square(), 1 - self.beta2) for v, g in zip(old.second, gradients, strict=True)]
        rate = self.lr / (1 - self.beta1**step)
        unbias = 1 / (1 - self.beta2**step)
        new = [p - rate * m / (_root(v * unbias) + self.eps) for p, m, v in zip(parameters, first, second, strict=True)]
        return new, _Moments(step, first, second)


def clip_factor(
    unit: Float[Tensor, "*image"], squares: Float[Tensor, "*image"], limit: float
) -> Float[Tensor, "*image"]:
    r"""Compute :math:`\min(1, c / \|g\|)` of gradients given as :math:`\|g\|^2 = u^2 q`.

    Any u works; the largest entry of g is best, because squares of the gradients of an exploding loss overflow single
    precision. The factor is also differentiable where g is 0.

    Args:
        unit: u, a constant.
        squares: q.
        limit: c.
    """
    longer = unit * squares.detach().sqrt() > limit
    squares = torch.where(longer, squares, 1.0)
    return torch.where(longer, limit / (unit * squares.sqrt()), 1.0)


def _root(v: Float[Tensor, "*weight"]) -> Float[Tensor, "*weight"]:
    r"""Compute :math:`\sqrt v`; where v is 0, all gradients so far were 0 and the derivative is set to 0."""
    if not v.requires_grad:
        return v.sqrt()
    zero = v == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, v).sqrt())


def _positive(value: float, name: str = "lr") -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}: expected a number above 0")
    return value

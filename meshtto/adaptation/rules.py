"""How a gradient moves a weight. Functions of tensors, so that a second derivative can pass through them."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["SGD", "Adam", "Rule"]


class Rule(ABC):
    """An optimizer without a home for parameters: it is given them, and gives new ones back."""

    lr: float

    @abstractmethod
    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        """New parameters and new state; the state of a first step is None."""


class SGD(Rule):
    r"""Gradient descent, :math:`w \leftarrow w - \alpha g`.

    Args:
        lr: α.
    """

    def __init__(self, lr: float = 1e-5) -> None:
        self.lr = _positive(lr)

    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        return [p - self.lr * g for p, g in zip(parameters, gradients, strict=True)], None


class _Moments(NamedTuple):
    step: int
    first: list[Tensor]
    second: list[Tensor]


class Adam(Rule):
    """Adam (Kingma and Ba, 2015, algorithm 1), element by element.

    Args:
        lr: step size.
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of their squares.
        eps: added to the root.
    """

    def __init__(self, lr: float = 1e-5, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.lr = _positive(lr)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def step(self, parameters: list[Tensor], gradients: list[Tensor], state: object) -> tuple[list[Tensor], object]:
        zeros = [torch.zeros_like(g) for g in gradients]
        old = state if isinstance(state, _Moments) else _Moments(0, zeros, zeros)
        step = old.step + 1
        first = [m.lerp(g, 1 - self.beta1) for m, g in zip(old.first, gradients, strict=True)]
        second = [v.lerp(g.square(), 1 - self.beta2) for v, g in zip(old.second, gradients, strict=True)]
        rate = self.lr / (1 - self.beta1**step)
        unbias = 1 / (1 - self.beta2**step)
        new = [
            p - rate * m / ((v * unbias).sqrt() + self.eps) for p, m, v in zip(parameters, first, second, strict=True)
        ]
        return new, _Moments(step, first, second)


def _positive(lr: float) -> float:
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr is {lr}: expected a number above 0")
    return lr

"""Gradient scaling and additional heads of adversarial methods.

``scale_gradient`` is the identity in the forward pass and multiplies gradients in the backward pass: by λ > 0 in RegDA
(whose max-min game is written as minimizations), by −λ in a gradient reversal layer (Ganin & Lempitsky, ICML 2015).
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "AdversarialHead",
    "DomainClassifier",
    "reversal_factor",
    "scale_gradient",
    "warm_start",
    "zero_with_gradients",
]


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def scale_gradient(features: Float[Tensor, "*shape"], factor: float | int) -> Float[Tensor, "*shape"]:
    """Return the features unchanged; gradients that flow back through them are multiplied by `factor`."""
    return _ScaleGradient.apply(features, factor)  # type: ignore[no-untyped-call]


def warm_start(step: int, high: float = 0.1, steps: float | int = 1000) -> float:
    r"""Return RegDA's :math:`\lambda(i) = \frac{2 h}{1 + e^{-i/N}} - h`, which rises from 0 to h.

    >>> [round(warm_start(i), 4) for i in (0, 1000, 100000)]
    [0.0, 0.0462, 0.1]
    """
    return 2 * high / (1 + math.exp(-step / steps)) - high


def reversal_factor(progress: float | int) -> float:
    r"""Return :math:`\lambda(p) = \frac{2}{1 + e^{-10p}} - 1` (Ganin & Lempitsky, ICML 2015), from 0 to 1.

    >>> [round(reversal_factor(p), 4) for p in (0.0, 0.1, 1.0)]
    [0.0, 0.4621, 0.9999]
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


def zero_with_gradients(parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """Return a zero that depends on every parameter.

    With several processes, each backward pass must reach the same parameters, or the processes wait for each other
    forever: a pass that does not use some parameters adds this zero for them.
    """
    return 0 * torch.stack([parameter.flatten()[0] for parameter in parameters]).sum()


class AdversarialHead(nn.Sequential):
    """RegDA's head h': 3 × 3 convolution, BatchNorm, ReLU, 1 × 1 convolution; weights from N(0, 0.001²).

    Args:
        channels: number of channels of the features and of the hidden layer.
        keypoints: number of output maps.
    """

    def __init__(self, channels: int, keypoints: int):
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, keypoints, kernel_size=1),
        )
        for module in self:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
                assert module.bias is not None
                nn.init.zeros_(module.bias)


class DomainClassifier(nn.Module):
    """MDAM's domain classifier: one logit per image, positive for the source domain, for maps of any size.

    Args:
        channels: number of channels of the features.
        width: width of the first layer; each of the next four is twice as wide.
    """

    def __init__(self, channels: int, width: int = 64):
        super().__init__()
        layers: list[nn.Module] = []
        for doubling in range(5):
            layers += [nn.Conv2d(channels, width << doubling, 3, stride=2, padding=1), nn.LeakyReLU(0.1, inplace=True)]
            channels = width << doubling
        self.layers = nn.Sequential(*layers)
        self.final = nn.Linear(channels, 1)

    def forward(self, features: Float[Tensor, "batch channel height width"]) -> Float[Tensor, " batch"]:
        """Return logits, in single precision under any autocast.

        On a CPU, the bfloat16 weight gradient of a 3 × 3 convolution on a map of one cell can be NaN (torch 2.15).
        """
        with torch.autocast(features.device.type, enabled=False):
            return self.final(self.layers(features.float()).mean((2, 3)))[:, 0]

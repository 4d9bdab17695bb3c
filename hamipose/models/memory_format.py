"""The order in which a network's weights and maps lie in memory."""

import torch
from torch import nn

__all__ = ["memory_format"]

#: The widest vector of a CPU, in single-precision numbers.
_LANES = 16


def memory_format(network: nn.Module) -> torch.memory_format:
    """Return channels last, which convolutions are faster with, or the plain format where that is unsafe.

    On a CPU the weight gradient of a strided 1 × 1 convolution with fewer input channels than a vector has lanes writes
    beyond its memory if channels come last (torch 2.15, oneDNN): the process dies of heap corruption sooner or later.
    Stems that are re-parameterized have such a convolution on the image's three channels: RepVGG, MobileOne, FastViT.
    """
    unsafe = any(
        isinstance(m, nn.Conv2d)
        and m.groups == 1
        and m.kernel_size == (1, 1)
        and m.stride != (1, 1)
        and m.in_channels < _LANES
        for m in network.modules()
    )
    return torch.contiguous_format if unsafe else torch.channels_last

"""Device and memory format of a network."""

import torch
from torch import nn

from hamipose.errors import UserError

__all__ = ["memory_format", "move_to_device"]

#: The widest vector of a CPU, in single-precision numbers.
_LANES = 16


def move_to_device(network: nn.Module, name: str | None) -> torch.device:
    """Move a network to a device and set it to eval mode.

    Args:
        network: changed in place.
        name: torch device name; default: the first GPU, if any, else the CPU.

    Returns:
        The device.

    Raises:
        UserError: there is no such device.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        network.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device is {name!r}, which cannot be used here ({str(error).splitlines()[0]})") from None
    return device


def memory_format(network: nn.Module) -> torch.memory_format:
    """Return channels last, which makes convolutions faster, or the contiguous format if channels last is unsafe.

    On a CPU, the weight gradient of a strided 1 × 1 convolution with fewer input channels than a vector has lanes
    writes beyond its memory in channels-last format (torch 2.15, oneDNN), and the process eventually dies of heap
    corruption. Re-parameterized stems (RepVGG, MobileOne, FastViT) have such a convolution on the three image channels.
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

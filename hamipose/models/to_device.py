"""Where a network runs, as a user names it."""

import torch
from torch import nn

from hamipose.errors import UserError

__all__ = ["moved"]


def moved(network: nn.Module, name: str | None) -> torch.device:
    """Put a network on a device, in eval mode.

    Args:
        network: changed in place.
        name: torch's name of a device; the first GPU if there is one, else the processor, where not given.

    Returns:
        The device.

    Raises:
        UserError: there is no such device here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        network.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device is {name!r}, which cannot be used here ({str(error).splitlines()[0]})") from None
    return device

"""Reading a checkpoint file without running anything in it."""

from pathlib import Path
from typing import Any

import torch

from hamipose.errors import InputError

__all__ = ["read_checkpoint_file"]


def read_checkpoint_file(path: str | Path) -> Any:
    """Whatever a checkpoint file holds, on the CPU; nothing in it is executed.

    Raises:
        InputError: it is missing or damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path} does not exist; give a file that `fit` saved")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the zip, pickle and tensor readers each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"checkpoint {path} cannot be read ({reason}); give a file that `fit` saved") from None

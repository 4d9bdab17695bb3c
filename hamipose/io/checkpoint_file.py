"""Reading a checkpoint file without running anything in it."""

from pathlib import Path
from typing import Any

from hamipose.io.tensor_file import read_tensor_file

__all__ = ["read_checkpoint_file"]


def read_checkpoint_file(path: str | Path) -> Any:
    """Return what a checkpoint file holds, on the CPU; nothing in it is executed.

    Raises:
        UserError: it is missing, damaged or something else.
    """
    return read_tensor_file(path, "checkpoint", "give a file that `fit` saved")

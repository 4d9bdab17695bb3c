"""The one reader of checkpoints and weights, in PyTorch's formats and safetensors. Nothing in a file is executed."""

import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hamipose.errors import UserError
from hamipose.io.file_type import explain, file_kind

__all__ = ["check_finite", "read_checkpoint_file", "read_tensor_file"]

_TORCH = ("a PyTorch file", "a zip archive", "a pickle")


def read_tensor_file(path: str | Path, what: str, give: str, allowed: Sequence[type] = ()) -> Any:
    """Return what a file of tensors holds, on the CPU.

    The content decides how it is read, not the name.

    Args:
        path: a file of ``torch.save`` or safetensors.
        what: it is, which begins every message: "checkpoint", "weights".
        give: what to give instead, which ends every message.
        allowed: classes that may be in the file besides tensors and plain values.

    Raises:
        UserError: the file is missing, cut short, of another kind, or holds objects of other classes.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{what} {path} does not exist; {give}")
    try:
        kind = None if path.is_dir() else file_kind(path)
        if kind == "a safetensors file":
            return load_file(path)
        if kind not in _TORCH or (kind == "a zip archive" and zipfile.is_zipfile(path)):
            raise UserError(f"{what} {path} {explain(path, 'a PyTorch file')}; {give}")
        # Opened here, for torch.load goes by the ending; its warnings are about damaged files.
        with torch.serialization.safe_globals(list(allowed)), path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except SafetensorError:
        raise UserError(f"{what} {path} is a safetensors file that is cut short or damaged; {give}") from None
    except Exception as error:  # the zip, pickle and tensor readers each have their own
        # torch's texts advise to switch safety off, or speak of its own source: only the name of a class is taken.
        if (found := re.search(r"GLOBAL (\S+)", str(error))) is not None:
            raise UserError(
                f"{what} {path} holds objects of {found[1][:80]}, expected tensors and plain values only; nothing in "
                f"it was run. Save the state dict alone, or {give}"
            ) from None
        raise UserError(f"{what} {path} {explain(path, 'a PyTorch file', *_TORCH)}; {give}") from None


def read_checkpoint_file(path: str | Path) -> Any:
    """Return the content of a checkpoint that `fit` saved, on the CPU.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    return read_tensor_file(path, "checkpoint", "give a file that `fit` saved")


def check_finite(state: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse weights that are NaN or infinite: the file is damaged, or training diverged.

    Args:
        state: a state dict.
        what: it is from, which begins the message.

    Raises:
        UserError: a tensor is not finite.
    """
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        more = f" and {len(bad) - 1} other tensors" if len(bad) > 1 else ""
        raise UserError(f"{what} has weights that are NaN or infinite ({bad[0]}{more}); give another one")

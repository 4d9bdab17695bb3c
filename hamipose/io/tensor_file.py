"""Read checkpoints and weights of PyTorch and safetensors without executing code in them; write weights."""

import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path
from hamipose.io.file_type import explain, file_kind

__all__ = ["check_finite", "read_checkpoint_file", "read_tensor_file", "write_weights"]

_TORCH = ("a PyTorch file", "a zip archive", "a pickle")


def read_tensor_file(path: str | Path, what: str, advice: str, allowed: Sequence[type] = ()) -> Any:
    """Return the content of a file of tensors, on the CPU.

    The format is detected from the content, not from the name.

    Args:
        path: a file of ``torch.save`` or safetensors.
        what: description of the file at the beginning of messages, such as "checkpoint".
        advice: advice at the end of messages.
        allowed: allowed classes besides tensors and plain values.

    Raises:
        UserError: the file is missing, truncated, of another type, or contains objects of other classes.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{what} {path} does not exist; {advice}")
    try:
        kind = None if path.is_dir() else file_kind(path)
        if kind == "a safetensors file":
            return load_file(path)
        if kind not in _TORCH or (kind == "a zip archive" and zipfile.is_zipfile(path)):
            raise UserError(f"{what} {path} {explain(path, 'a PyTorch file')}; {advice}")
        # Open the file here, since torch.load depends on the suffix; its warnings concern damaged files.
        with torch.serialization.safe_globals(list(allowed)), path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except SafetensorError:
        raise UserError(f"{what} {path} is a safetensors file that is cut short or damaged; {advice}") from None
    except Exception as error:  # the readers of zip, pickle and tensors raise different errors
        # Messages of torch advise to disable safety or refer to its source: only the name of a class is used.
        if (match := re.search(r"GLOBAL (\S+)", str(error))) is not None:
            raise UserError(
                f"{what} {path} contains objects of {match[1][:80]}, expected only tensors and plain values; no code "
                f"in it was run. Save only the state dict, or {advice}"
            ) from None
        raise UserError(f"{what} {path} {explain(path, 'a PyTorch file', *_TORCH)}; {advice}") from None


def read_checkpoint_file(path: str | Path) -> Any:
    """Return the content of a checkpoint that `fit` saved, on the CPU.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    return read_tensor_file(path, "checkpoint", "give a file that `fit` saved")


def check_finite(state: Mapping[str, torch.Tensor], what: str) -> None:
    """Check that weights are finite; otherwise the file is damaged, or training has diverged.

    Args:
        state: a state dict.
        what: description of the file at the beginning of the message.

    Raises:
        UserError: a tensor contains NaN or Inf.
    """
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        more = f" and {len(bad) - 1} other tensors" if len(bad) > 1 else ""
        raise UserError(f"{what} has weights that are NaN or Inf ({bad[0]}{more}); use another file")


def write_weights(path: Path, state: Mapping[str, torch.Tensor], *, half: bool = False) -> None:
    """Write weights as safetensors, atomically.

    Args:
        path: the file to write.
        state: a state dict.
        half: write floating-point numbers in half precision, half the size.

    Raises:
        UserError: a weight is too large for half precision.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
        if large := [name for name, tensor in weights.items() if tensor.isinf().any()]:
            raise UserError(f"{large[0]} has values too large for half precision; write single precision")
    with atomic_path(path) as beside:
        save_file(weights, beside, metadata={"format": "pt"})

"""Read NumPy files from unknown sources; arrays of objects are unpickled without executing code."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain
from hamipose.io.safe_pickle import load_pickle

__all__ = ["read_npy", "read_npz"]


def read_npz(path: Path, what: str, how: str) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file.

    Args:
        path: the file.
        what: description of the file, for messages.
        how: how to get it, for messages.

    Raises:
        UserError: the file is missing, damaged, or contains code.
    """
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist; {how}")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for member in archive.namelist():
                arrays[member.removesuffix(".npy")] = _read(archive.read(member), path)
            return arrays
    except UserError:
        raise
    except Exception as error:  # damaged bytes can raise anything
        problem = explain(path, "a NumPy archive (.npz)")
        raise UserError(f"{what} {path} {problem} ({describe_error(error)}); {how}") from None


def read_npy(path: Path, what: str, how: str) -> np.ndarray:
    """Read the array of an .npy file; see :func:`read_npz`."""
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist; {how}")
    try:
        return _read(path.read_bytes(), path)
    except UserError:
        raise
    except Exception as error:
        problem = explain(path, "a NumPy array (.npy)")
        raise UserError(f"{what} {path} {problem} ({describe_error(error)}); {how}") from None


def _read(content: bytes, path: Path) -> np.ndarray:
    """Read one array, starting at its header."""
    whole = io.BytesIO(content)
    version = np.lib.format.read_magic(whole)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(whole)
    start = whole.tell()
    if not dtype.hasobject:
        whole.seek(0)
        return np.lib.format.read_array(whole, allow_pickle=False)
    with tempfile.NamedTemporaryFile(suffix=f"-{path.name}.pkl") as objects:
        objects.write(content[start:])
        objects.flush()
        objects_read = load_pickle(objects.name)
    array = np.empty(shape, object)
    array[...] = objects_read
    return array

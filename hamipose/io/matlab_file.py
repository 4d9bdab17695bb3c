"""Reader of MATLAB files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["read_matlab"]


def read_matlab(path: Path, names: Sequence[str], what: str, expected: str) -> dict[str, np.ndarray]:
    """Return arrays of a MATLAB file (version 5; files of version 7.3 are HDF5).

    Args:
        path: the file.
        names: names of the arrays.
        what: description of the file at the beginning of messages, such as "annotation file".
        expected: description of the expected content at the end of messages.

    Raises:
        UserError: the file cannot be read or lacks an array.
    """
    import scipy.io

    try:
        arrays = scipy.io.loadmat(path, appendmat=False, variable_names=list(names))
    except Exception:  # scipy raises many error types for damaged files
        raise UserError(f"{what} {path} {explain(path, 'a MATLAB file')}; expected {expected}") from None
    if missing := [name for name in names if not isinstance(arrays.get(name), np.ndarray)]:
        raise UserError(f"{what} {path} has no array {', '.join(missing)}; expected {expected}")
    return {name: arrays[name] for name in names}

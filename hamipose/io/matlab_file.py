"""The one reader of MATLAB's files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["read_matlab"]


def read_matlab(path: Path, names: Sequence[str], what: str, expected: str) -> dict[str, np.ndarray]:
    """Return arrays of a MATLAB file (version 5; those of 7.3 are HDF5).

    Args:
        path: the file.
        names: of the arrays.
        what: the file is, which begins every message: "annotation file".
        expected: what should be there, which ends every message.

    Raises:
        UserError: the file cannot be read or lacks an array.
    """
    import scipy.io

    try:
        found = scipy.io.loadmat(path, appendmat=False, variable_names=list(names))
    except Exception:  # scipy raises many kinds at damaged files, which differ between versions
        raise UserError(f"{what} {path} {explain(path, 'a MATLAB file')}; expected {expected}") from None
    if missing := [name for name in names if not isinstance(found.get(name), np.ndarray)]:
        raise UserError(f"{what} {path} has no array {', '.join(missing)}; expected {expected}")
    return {name: found[name] for name in names}

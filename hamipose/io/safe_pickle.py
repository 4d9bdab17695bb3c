"""Read pickles from untrusted sources without running their code: only allowed names are resolved.

A pickle is a program: `pickle.load` imports and calls everything that it names. Here only allowed names are resolved,
to objects defined in this module; any other name raises an error. Data sets are often published as pickles of numpy
arrays, many of them written by Python 2.
"""

import collections
import copyreg
import importlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain

__all__ = ["ARRAYS", "PYTHON2_OBJECTS", "load_pickle"]

_MULTIARRAY = importlib.import_module("numpy._core.multiarray")
_RECONSTRUCTOR = vars(copyreg)["_reconstructor"]


def _latin1(text: str, codec: str = "latin1") -> bytes:
    """Decode bytes as Python 3 writes them in protocols up to 2: text in Latin-1. Other codecs are not allowed."""
    if codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes text as {codec!r:.40}, expected latin1")
    return text.encode("latin1")


def _array_of_bytes(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    """Create an array as protocol 5 writes contiguous arrays."""
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


#: Arrays and scalars of numpy, and the containers without an opcode.
ARRAYS: Mapping[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _MULTIARRAY._reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _MULTIARRAY.scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_of_bytes for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{("__builtin__", kind.__name__): kind for kind in (set, frozenset, complex, bytearray, bytes)},
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, complex, bytearray, bytes)},
}

#: Names that Python 2 writes for an object in addition to its class; pass them together with the allowed classes.
PYTHON2_OBJECTS: Mapping[tuple[str, str], Any] = {
    ("copy_reg", "_reconstructor"): _RECONSTRUCTOR,
    ("copyreg", "_reconstructor"): _RECONSTRUCTOR,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
}


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, allowed: Mapping[tuple[str, str], Any], encoding: str):
        super().__init__(file, encoding=encoding)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise _Refused(f"{module}.{name}"[:80])
        return self._allowed[module, name]


def load_pickle(
    path: str | Path, allowed: Mapping[tuple[str, str], Any] | None = None, encoding: str = "latin1"
) -> Any:
    """Return the content of a pickle of arrays, numbers, text and containers.

    Args:
        path: the file.
        allowed: further allowed names: (module, name) in the file → the object to use, such as a stub class.
        encoding: encoding of strings of Python 2; ``latin1`` preserves their bytes, as arrays require.

    Raises:
        UserError: the file cannot be read, is truncated, or contains other names; no code of it is run.
    """
    try:
        with open(path, "rb") as file:
            return _Unpickler(file, {**ARRAYS, **(allowed or {})}, encoding).load()
    except _Refused as error:
        raise UserError(
            f"pickle {path} needs {str(error)!r}, expected only arrays and plain values; no code in it was run; "
            "download the file from its official source again"
        ) from None
    except OSError as error:
        raise UserError(f"pickle {path} cannot be read ({error.strerror})") from None
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(f"pickle {path} {explain(path, 'a pickle')} ({describe_error(error)})") from None

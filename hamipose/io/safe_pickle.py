"""Pickles of strangers, read without running their code: only names that are allowed are ever looked up.

A pickle is a program; whatever it names, `pickle.load` imports and calls. Here a name stands for what this module says
it stands for, and any other name is refused. Data sets of the field come as pickles of numpy arrays, many of them
written by Python 2.
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
    """How Python 3 writes bytes into protocols up to 2: text in Latin-1. No other codec is looked up."""
    if codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes text as {codec!r:.40}, expected latin1")
    return text.encode("latin1")


def _array_of_bytes(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    """How protocol 5 writes contiguous arrays."""
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


#: Arrays and scalars of numpy, and the containers that have no opcode of their own.
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

#: What Python 2 needs besides its class to write an object; to be given with the classes that may stand there.
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
    """What a pickle holds, if it holds arrays, numbers, text and containers of them.

    Args:
        path: the file.
        allowed: further names: (module, name) as the file spells them → what is put there, such as a stub class.
        encoding: of Python 2's strings; with ``latin1`` their bytes survive, as arrays need it.

    Raises:
        UserError: the file cannot be read, is cut short, or names anything else; nothing of it has then been run.
    """
    try:
        with open(path, "rb") as file:
            return _Unpickler(file, {**ARRAYS, **(allowed or {})}, encoding).load()
    except _Refused as error:
        raise UserError(
            f"pickle {path} asks for {str(error)!r}, expected arrays and plain values only; nothing in it was run: get "
            "the file from its official source again"
        ) from None
    except OSError as error:
        raise UserError(f"pickle {path} cannot be read ({error.strerror})") from None
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(f"pickle {path} {explain(path, 'a pickle')} ({describe_error(error)})") from None

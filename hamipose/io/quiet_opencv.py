"""Suppress output of OpenCV and its libraries for files that our own errors report in one line."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["quiet_opencv"]

#: OpenCV 4 and 5 have this function in different modules. It returns the previous level.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel

_ERROR_OUTPUT = 2  # libpng, libjpeg and the FFmpeg wrapper write there directly and have no option to disable it
_lock = threading.Lock()
_depth = 0
_level = 0
_saved_output: int | None = None


def _enter() -> None:
    global _depth, _level, _saved_output
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        _level = _set_log_level(0)
        try:
            _saved_output = os.dup(_ERROR_OUTPUT)
        except OSError:  # standard error is closed
            return
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, _ERROR_OUTPUT)
        os.close(devnull)


def _leave() -> None:
    global _depth, _saved_output
    with _lock:
        _depth -= 1
        if _depth:
            return
        _set_log_level(_level)
        if _saved_output is not None:
            os.dup2(_saved_output, _ERROR_OUTPUT)
            os.close(_saved_output)
            _saved_output = None


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Disable the log of OpenCV and the standard error of the process inside the block."""
    _enter()
    try:
        yield
    finally:
        _leave()

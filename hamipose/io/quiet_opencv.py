"""Silence OpenCV and its libraries about files that an error of our own reports in one line."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["quiet_opencv"]

#: OpenCV 4 and 5 have it in different places. It returns the former level.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel

_ERROR_OUTPUT = 2  # libpng, libjpeg and FFmpeg's wrapper write there themselves, and offer no switch
_lock = threading.Lock()
_inside = 0
_level = 0
_kept: int | None = None


def _enter() -> None:
    global _inside, _level, _kept
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        _level = _set_log_level(0)
        try:
            _kept = os.dup(_ERROR_OUTPUT)
        except OSError:  # it is closed
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _ERROR_OUTPUT)
        os.close(nowhere)


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if _inside:
            return
        _set_log_level(_level)
        if _kept is not None:
            os.dup2(_kept, _ERROR_OUTPUT)
            os.close(_kept)
            _kept = None


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Switch OpenCV's log off, and the process's error output with it, for the one call in the block."""
    _enter()
    try:
        yield
    finally:
        _leave()

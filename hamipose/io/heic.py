"""Readers of formats that some builds of OpenCV lack: HEIC through pillow-heif (extra ``heic``), AVIF and GIF."""

import io
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hamipose.io.media_types import heic_installed

__all__ = ["is_heic", "read_heic", "read_with_pillow"]

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO media file: the main brand and the compatible brands."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_avif(head: bytes) -> bool:
    """Return whether a file is AVIF, by its first bytes."""
    return bool(_brands(head) & {b"avif", b"avis"})


def is_heic(head: bytes) -> bool:
    """Return whether a file is HEIC, by its first bytes; some phones store HEIC in files named .jpg.

    >>> is_heic(bytes.fromhex("0000001c66747970686569630000000068656963"))
    True
    """
    return bool(_brands(head) & _HEIC_BRANDS) and not _is_avif(head)


def read_heic(data: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """Return the main image of a HEIC file in RGB, upright, since rotation is part of the format.

    Returns None if pillow-heif is not installed.

    Raises:
        ValueError: the file is damaged.
    """
    if not heic_installed():
        return None
    import pillow_heif

    try:
        image = pillow_heif.open_heif(data, convert_hdr_to_8bit=True).to_pillow()
        return np.ascontiguousarray(image.convert("RGB"))
    except Exception as error:  # its error classes differ between versions
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def read_with_pillow(data: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """Return the first image of an AVIF or GIF file as stored, for builds of OpenCV that lack the format.

    Returns None if Pillow cannot read the file either.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=("AVIF", "GIF")) as image:
            return np.ascontiguousarray(image.convert("RGB"))
    except Exception:  # Pillow's plugins raise many error types for damaged files
        return None

"""Reading one picture from disk: RGB, as stored or upright, in one clear line when it cannot be read."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from hamipose.errors import InputError

__all__ = ["IMAGE_SUFFIXES", "UnreadableImage", "decode_image", "header_box", "read_image"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

# JPEG decoders can leave out the finest coefficients, which makes them several times faster.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file stops before its end marker: decoders fill the rest with grey without a word."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:]
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # walk the segments, for one of them may hold a thumbnail with an end marker of its own
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


class UnreadableImage(InputError):
    """A picture that is missing, truncated or no picture at all."""


def header_box(path: str | Path) -> Float[np.ndarray, "4"] | None:
    """Box of the whole stored picture in pixels, by the file's header alone.

    None where that cannot be had: of what is no picture, which decoding will say, and of one too large for Pillow (179
    megapixels), which OpenCV reads.
    """
    try:
        return np.array([0, 0, *Image.open(path).size], np.float32)
    except (OSError, Image.DecompressionBombError):
        return None


def read_image(path: str | Path, reduction: int = 1, upright: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in RGB.

    Args:
        path: an image file.
        reduction: 1, 2, 4 or 8; decode at this fraction of the size.
        upright: turn it as its orientation tag says, for photos that nobody annotated; annotations are made for stored
            pixels.

    Raises:
        UnreadableImage: it is missing, truncated or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"image {path} cannot be opened ({error.strerror}); check the data folder") from None
    return decode_image(data, str(path), reduction, upright)


def decode_image(
    data: bytes, name: str, reduction: int = 1, upright: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in RGB of a file's bytes.

    Args:
        data: what is in the file.
        name: where it comes from, to be told when it cannot be read.
        reduction: as for :func:`read_image`.
        upright: as for :func:`read_image`.

    Raises:
        UnreadableImage: it is truncated or not an image.
    """
    if _is_truncated(data):
        raise UnreadableImage(f"image {name} is truncated ({len(data)} bytes); copy it again or remove it")
    flag = _REDUCED.get(reduction, cv2.IMREAD_COLOR) | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableImage(f"image {name} is not a picture ({len(data)} bytes); copy it again or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

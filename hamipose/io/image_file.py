"""Reading and writing of images: RGB, as stored or upright; one clear line if a file cannot be read or written."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from hamipose.errors import UserError
from hamipose.io.atomic_file import write_bytes
from hamipose.io.file_type import HEAD, foreign_kind
from hamipose.io.heic import is_heic, read_heic, read_with_pillow
from hamipose.io.media_types import INSTALL_HEIC
from hamipose.io.quiet_opencv import quiet_opencv

__all__ = ["UnreadableImage", "decode_image", "read_image", "read_image_box", "write_image"]

# JPEG decoders can leave out the finest coefficients, which makes them several times faster.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file stops before its end marker: decoders fill the rest with gray without a word."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:]
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # walk the segments, for one of them may hold a thumbnail with an end marker of its own
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


class UnreadableImage(UserError):
    """A picture that is missing, truncated or no picture at all."""


def read_image_box(path: str | Path) -> Float[np.ndarray, "4"] | None:
    """Box of the whole stored picture in pixels, by the file's header alone.

    None where that cannot be had: of what is no picture, which decoding will say, and of one too large for Pillow (179
    megapixels), which OpenCV reads.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return np.array([0, 0, *image.size], np.float32)
    except Exception:  # Pillow's plugins raise many kinds at damaged files; decoding will name the cause
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
    """Return the picture of a file's bytes in RGB, 8 bits a channel; of an animation the first frame.

    Args:
        data: what is in the file.
        name: where it comes from, to be told when it cannot be read.
        reduction: as for :func:`read_image`.
        upright: as for :func:`read_image`.

    Raises:
        UnreadableImage: it is truncated or not an image.
    """
    if is_heic(data[:HEAD]):
        return _reduce(_decode_heic(data, name), reduction)
    if _is_truncated(data):
        raise UnreadableImage(f"image {name} is truncated ({len(data)} bytes); copy it again or remove it")
    # Any depth: OpenCV would make 8 bits of 12 in a 16-bit file by dropping the lowest 8, which leaves almost black.
    flag = _REDUCED.get(reduction, cv2.IMREAD_COLOR) | cv2.IMREAD_ANYDEPTH
    flag |= 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
    image: np.ndarray | None = None
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except (cv2.error, MemoryError):
        pass  # named below
    if image is None and (stored := read_with_pillow(data)) is not None:
        image = cv2.cvtColor(_reduce(stored, reduction), cv2.COLOR_RGB2BGR)
    if image is None:
        what = foreign_kind(data[:HEAD]) or "not a picture that can be read"
        raise UnreadableImage(f"image {name} is {what} ({len(data)} bytes); copy it again or remove it")
    return cv2.cvtColor(_to_eight_bits(image, name), cv2.COLOR_BGR2RGB)


def _decode_heic(data: bytes, name: str) -> UInt8[np.ndarray, "height width 3"]:
    try:
        image = read_heic(data)
    except ValueError as error:
        raise UnreadableImage(f"image {name} is a damaged HEIC file ({error}); copy it again or remove it") from None
    if image is None:
        raise UnreadableImage(f"image {name} is HEIC, a format not supported here; {INSTALL_HEIC}")
    return image


def _reduce(image: UInt8[np.ndarray, "height width 3"], reduction: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image at a fraction of its size, for decoders that cannot do it themselves."""
    if reduction == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, width // reduction), max(1, height // reduction))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _to_eight_bits(image: np.ndarray, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Return the image with 8 bits a channel.

    Files of 16 bits often hold 10, 12 or 14: the range is that of the smallest of these that holds all values.

    Raises:
        UnreadableImage: the pixels are no unsigned integers.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise UnreadableImage(
            f"image {name} holds {image.dtype} pixels, a format not supported; convert it to 8 or 16 bits a channel"
        )
    most = int(image.max(initial=0))
    bits = next(bits for bits in (8, 10, 12, 14, 16) if most < 1 << bits)
    return (image >> (bits - 8)).astype(np.uint8)


def write_image(path: str | Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write an RGB image in the format that the path's ending names.

    Args:
        path: ends in .png, .jpg or another ending that OpenCV encodes; its folder is created.
        image: the pixels.

    Raises:
        UserError: OpenCV cannot encode that format.
        OSError: the file cannot be written.
    """
    path = Path(path)
    try:
        done, encoded = cv2.imencode(path.suffix or ".", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"{path} cannot be written in the format {path.suffix or '(none)'}; use .png or .jpg")
    write_bytes(path, encoded.tobytes())

"""Read and write RGB images, as stored or upright, with one-line errors."""

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

# JPEG decoders can skip the finest coefficients, which makes them several times faster.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def _is_truncated(data: bytes) -> bool:
    """Return whether a JPEG or PNG file has no end marker; decoders would fill the rest with gray without an error."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:]
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2  # skip the segments, since one of them may contain a thumbnail with its own end marker
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


class UnreadableImage(UserError):
    """An image file that is missing, truncated or not an image."""


def read_image_box(path: str | Path) -> Float[np.ndarray, "4"] | None:
    """Return the box of the whole stored image in pixels, read from the header of the file.

    Returns None if the header cannot be read: the file is not an image, which decoding reports, or it is too large for
    Pillow (179 megapixels) but not for OpenCV.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return np.array([0, 0, *image.size], np.float32)
    except Exception:  # Pillow's plugins raise many error types for damaged files; decoding reports the cause
        return None


def read_image(path: str | Path, reduction: int = 1, upright: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image in RGB.

    Args:
        path: image file.
        reduction: 1, 2, 4 or 8; decode at 1/reduction of the size.
        upright: whether to apply the orientation tag, for images without annotations; annotations usually refer to
            stored pixels.

    Raises:
        UnreadableImage: the file is missing, truncated or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"image {path} cannot be opened ({error.strerror}); check the data folder") from None
    return decode_image(data, str(path), reduction, upright)


def decode_image(
    data: bytes, name: str, reduction: int = 1, upright: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image to RGB with 8 bits per channel; of an animation, the first frame.

    Args:
        data: content of the file.
        name: name of the file for messages.
        reduction: as for :func:`read_image`.
        upright: as for :func:`read_image`.

    Raises:
        UnreadableImage: the data is truncated or not an image.
    """
    if is_heic(data[:HEAD]):
        return _reduce(_decode_heic(data, name), reduction)
    if _is_truncated(data):
        raise UnreadableImage(f"image {name} is truncated ({len(data)} bytes); copy it again or remove it")
    # Any depth: for 12 bits in a 16-bit file OpenCV would drop the lowest 8 bits, which gives an almost black image.
    flag = _REDUCED.get(reduction, cv2.IMREAD_COLOR) | cv2.IMREAD_ANYDEPTH
    flag |= 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
    image: np.ndarray | None = None
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except (cv2.error, MemoryError):
        pass  # reported below
    if image is None and (stored := read_with_pillow(data)) is not None:
        image = cv2.cvtColor(_reduce(stored, reduction), cv2.COLOR_RGB2BGR)
    if image is None:
        kind = foreign_kind(data[:HEAD]) or "not an image that can be read"
        raise UnreadableImage(f"image {name} is {kind} ({len(data)} bytes); copy it again or remove it")
    return cv2.cvtColor(_to_eight_bits(image, name), cv2.COLOR_BGR2RGB)


def _decode_heic(data: bytes, name: str) -> UInt8[np.ndarray, "height width 3"]:
    try:
        image = read_heic(data)
    except ValueError as error:
        raise UnreadableImage(f"image {name} is a damaged HEIC file ({error}); copy it again or remove it") from None
    if image is None:
        raise UnreadableImage(f"image {name} is HEIC, which needs an optional package; {INSTALL_HEIC}")
    return image


def _reduce(image: UInt8[np.ndarray, "height width 3"], reduction: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image at a fraction of its size, for decoders without this feature."""
    if reduction == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, width // reduction), max(1, height // reduction))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _to_eight_bits(image: np.ndarray, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """Return the image with 8 bits per channel.

    Files with 16 bits often contain 10, 12 or 14 bits: the smallest of these that fits all values is assumed.

    Raises:
        UnreadableImage: the pixels are not unsigned integers.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise UnreadableImage(
            f"image {name} has {image.dtype} pixels, which are not supported; convert it to 8 or 16 bits per channel"
        )
    largest = int(image.max(initial=0))
    bits = next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits)
    return (image >> (bits - 8)).astype(np.uint8)


def write_image(path: str | Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write an RGB image in the format of the path's suffix.

    Args:
        path: path with the suffix .png, .jpg or another one that OpenCV encodes; its folder is created.
        image: RGB image.

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

"""Writing of RGB images, whole or not at all."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.errors import InputError
from hamipose.io.whole_file import write_bytes

__all__ = ["write_image"]


def write_image(path: str | Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write an RGB image in the format that the path's ending names.

    Args:
        path: ends in .png, .jpg or another ending that OpenCV encodes; its folder is created.
        image: the pixels.

    Raises:
        InputError: OpenCV cannot encode that format.
        OSError: the file cannot be written.
    """
    path = Path(path)
    try:
        done, encoded = cv2.imencode(path.suffix or ".", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise InputError(f"{path} cannot be written in the format {path.suffix or '(none)'}; use .png or .jpg")
    write_bytes(path, encoded.tobytes())

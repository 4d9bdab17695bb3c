"""Convert a sample to the form in which `data prepare` stores it: a compressed crop with labels in its pixels."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hamipose.data.catalog.shards import PackedSample
from hamipose.io.image_file import read_image
from hamipose.types import Sample

__all__ = ["PackingOptions", "pack_sample"]


class PackingOptions(NamedTuple):
    """Options of stored images.

    Attributes:
        side: images are reduced until the longer side of the box has at most this many pixels.
        margin: side of the stored square relative to the longer side of the box. 1.6 contains all that any rotation and
            a shift by 5 % can bring into view.
        quality: JPEG quality.
    """

    side: int = 512
    margin: float = 1.6
    quality: int = 95


def pack_sample(source: int, sample: Sample, options: PackingOptions, raw: str = "") -> PackedSample:
    """Crop, reduce and compress a sample.

    Args:
        source: index of the sample in its data set.
        sample: the sample.
        options: options of stored images.
        raw: folder of the release, which is removed from the sample's name.
    """
    height, width = sample.image.shape[:2]
    left, top, right, bottom = _stored_region(sample.box_px, width, height, options.margin)
    shrink = max(1.0, float(max(sample.box_px[2:])) / options.side)
    box = sample.box_px.astype(np.float64)
    keypoints = sample.keypoints_px.astype(np.float64)
    jpeg = None
    if shrink == 1 and (left, top, right, bottom) == (0, 0, width, height):
        jpeg = _original_jpeg(sample)
    if jpeg is None:
        image = sample.image[top:bottom, left:right]
        if shrink > 1:
            size = max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = _encode_jpeg(image, options.quality)
        # Coordinates are scaled about the image's corner, which is half a pixel before the center of its first pixel.
        factor = np.array([image.shape[1] / (right - left), image.shape[0] / (bottom - top)])
        keypoints = (keypoints - (left, top) + 0.5) * factor - 0.5
        box = np.concatenate([(box[:2] - (left, top)) * factor, box[2:] * factor])
    return PackedSample(
        source=source,
        name=sample.name.removeprefix(f"{Path(raw)}/"),
        jpeg=jpeg,
        box_px=box.astype(np.float32),
        keypoints_px=keypoints.astype(np.float32),
        visibility=sample.visibility,
    )


def _stored_region(box_px: Float[np.ndarray, "4"], width: int, height: int, margin: float) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the stored part: never empty, and inside the image."""
    center, half = box_px[:2] + box_px[2:] / 2, margin * float(max(box_px[2:])) / 2
    left, top = (int(np.floor(max(0.0, float(c) - half))) for c in center)
    right, bottom = (int(np.ceil(min(side, float(c) + half))) for c, side in zip(center, (width, height), strict=True))
    if left >= right or top >= bottom:  # the box lies outside the image
        return 0, 0, width, height
    return left, top, right, bottom


def _original_jpeg(sample: Sample) -> bytes | None:
    """Return the bytes of the sample's JPEG file, if its image is the unchanged content of that file."""
    path = Path(sample.name.partition("#")[0])
    if path.suffix.lower() not in (".jpg", ".jpeg") or not path.is_file():
        return None
    is_unchanged = np.array_equal(read_image(path), sample.image)  # data sets may rotate or crop images
    return path.read_bytes() if is_unchanged else None


def _encode_jpeg(image: UInt8[np.ndarray, "height width 3"], quality: int) -> bytes:
    """Encode an image with colors at full resolution."""
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()

"""Convert between the coordinates of stored images and those of images rotated upright by their orientation tags."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from hamipose.errors import UserError

__all__ = [
    "ImageHeader",
    "check_image_sizes",
    "is_annotated_upright",
    "orient_box",
    "orient_points",
    "read_image_header",
]

_logger = logging.getLogger("hamipose")
_ORIENTATION = 0x0112  # EXIF's tag


class ImageHeader(NamedTuple):
    """Size of the stored image, and its EXIF orientation from 1 (upright) to 8."""

    width: int
    height: int
    orientation: int

    def size(self, upright: bool) -> tuple[int, int]:
        """Return width and height of the upright or the stored image."""
        turned = upright and self.orientation > 4
        return (self.height, self.width) if turned else (self.width, self.height)


def read_image_header(path: str | Path) -> ImageHeader | None:
    """Return the header of an image without decoding it; None if it has none, which decoding reports.

    For TIFF files, stored and upright are the same: readers such as OpenCV always apply their orientation tag.
    """
    try:
        with Image.open(path) as image:
            tag = 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION, 1)
            return ImageHeader(*image.size, tag if tag in range(1, 9) else 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def is_annotated_upright(
    name: str | Path, header: ImageHeader, stated: tuple[int, int] | None, declared: bool | None, source: str | Path
) -> bool:
    """Return whether annotations are in pixels of the upright image.

    This is the case if the file declares it, or if the stated width and height are those of the upright image and not
    of the stored image. Otherwise annotations are in pixels of the stored image.

    Args:
        name: name of the image.
        header: header of the image.
        stated: width and height in the annotation file; None if it does not state them.
        declared: whether the file declares that its pixels are upright; None if it does not declare it.
        source: the annotation file.

    Raises:
        UserError: the stated size is not that of the image.
    """
    frames = (True,) if declared else (False, True)
    for upright in frames:
        if stated is None or stated == header.size(upright):
            return upright
    width, height = header.size(frames[0])
    raise UserError(
        f"image {name} has {width} × {height} px, but {source} states {stated[0]} × {stated[1]} px; "  # type: ignore[index]
        "expected the annotated images: use those, or scale the annotations"
    )


def orient_points(
    points_px: Float[np.ndarray, "*batch 2"], header: ImageHeader, *, back: bool = False, edges: bool = False
) -> Float[np.ndarray, "*batch 2"]:
    """Convert points in the stored image to points in the upright image.

    Args:
        points_px: pixel positions; the center of the first pixel is (0, 0).
        header: header of the image.
        back: convert from upright to stored instead.
        edges: positions are relative to the corner of the first pixel, as for boxes.
    """
    last = np.array([header.width, header.height], np.float64) - (0 if edges else 1)
    kind = header.orientation
    swapped = kind > 4
    # Mirror the stored axes first, then exchange them.
    flip_x, flip_y = kind in (2, 3, 7, 8), kind in (3, 4, 6, 7)
    points = np.asarray(points_px, np.float64)
    if back and swapped:
        points = points[..., ::-1]
    points = np.where([flip_x, flip_y], last - points, points)
    return points[..., ::-1] if swapped and not back else points


def orient_box(box_px: Float[np.ndarray, "4"], header: ImageHeader) -> Float[np.ndarray, "4"]:
    """Convert a box in the stored image to left, top, width and height in the upright image."""
    corners = orient_points(np.array([box_px[:2], box_px[:2] + box_px[2:]]), header, edges=True)
    low, high = corners.min(0), corners.max(0)
    return np.concatenate([low, high - low]).astype(np.float32)


def check_image_sizes(
    images: Mapping[str, tuple[int, int] | None], declared: bool | None, source: str | Path, limit: int = 1000
) -> None:
    """Compare the sizes of a sample of images, read from their headers, with the sizes in an annotation file.

    Logs a warning if images have an orientation tag but the file states neither sizes nor orientation.

    Args:
        images: path → width and height in the file; None if it does not state them.
        declared: whether the file declares that its pixels are upright; None if it does not declare it.
        source: the annotation file.
        limit: approximate number of images to check.

    Raises:
        UserError: a stated size is not that of the image.
    """
    unknown = []
    for path in list(images)[:: max(1, -(-len(images) // limit))]:
        header = read_image_header(path)
        if header is None:
            continue
        is_annotated_upright(path, header, images[path], declared, source)
        if header.orientation != 1 and images[path] is None and declared is None:
            unknown.append(path)
    if unknown:
        _logger.warning(
            "%s: it does not state the size of %d images with an orientation tag (%s, …); its pixels are assumed to be "
            "those of the stored images",
            *(source, len(unknown), Path(unknown[0]).name),
        )

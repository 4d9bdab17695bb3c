"""Know the two frames of a picture with an orientation tag: as it is stored, and turned upright as the tag says."""

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

_log = logging.getLogger("hamipose")
_ORIENTATION = 0x0112  # EXIF's tag


class ImageHeader(NamedTuple):
    """Size as stored, and EXIF's orientation from 1 (upright) to 8."""

    width: int
    height: int
    orientation: int

    def size(self, upright: bool) -> tuple[int, int]:
        """Return width and height in one of the frames."""
        turned = upright and self.orientation > 4
        return (self.height, self.width) if turned else (self.width, self.height)


def read_image_header(path: str | Path) -> ImageHeader | None:
    """Return a picture's header without decoding it; None where it has none, which decoding will say.

    A TIFF file has one frame alone: its readers, OpenCV among them, always turn it as its tag says.
    """
    try:
        with Image.open(path) as picture:
            tag = 1 if picture.format == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
            return ImageHeader(*picture.size, tag if tag in range(1, 9) else 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def is_annotated_upright(
    name: str | Path, header: ImageHeader, stated: tuple[int, int] | None, declared: bool | None, source: str | Path
) -> bool:
    """Return whether annotations are in pixels of the upright picture.

    That is so if the file says so, or if its width and height are those of the upright picture and not of the stored
    one; otherwise they are in stored pixels.

    Args:
        name: of the picture.
        header: of the picture.
        stated: width and height in the file, if it has them.
        declared: whether the file says that its pixels are upright; None: it is silent.
        source: the file.

    Raises:
        UserError: the file was made for a picture of another size.
    """
    frames = (True,) if declared else (False, True)
    for upright in frames:
        if stated is None or stated == header.size(upright):
            return upright
    width, height = header.size(frames[0])
    raise UserError(
        f"image {name} has {width} × {height} px, but {source} states {stated[0]} × {stated[1]} px; "  # type: ignore[index]
        "expected the same picture: give the pictures that were annotated, or scale the annotations"
    )


def orient_points(
    points_px: Float[np.ndarray, "*batch 2"], header: ImageHeader, *, back: bool = False, edges: bool = False
) -> Float[np.ndarray, "*batch 2"]:
    """Return points of the stored picture as points of the upright one.

    Args:
        points_px: pixel positions; the center of the first pixel is (0, 0).
        header: of the picture.
        back: from upright to stored instead.
        edges: positions count from the corner of the first pixel, as those of boxes do.
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
    """Return a box of the stored picture as left, top, width and height in the upright one."""
    corners = orient_points(np.array([box_px[:2], box_px[:2] + box_px[2:]]), header, edges=True)
    low, high = corners.min(0), corners.max(0)
    return np.concatenate([low, high - low]).astype(np.float32)


def check_image_sizes(
    pictures: Mapping[str, tuple[int, int] | None], declared: bool | None, source: str | Path, most: int = 1000
) -> None:
    """Compare the sizes of some pictures, from all over a file, with what the file states, by their headers alone.

    Args:
        pictures: path → width and height in the file, if it has them.
        declared: whether the file says that its pixels are upright; None: it is silent.
        source: the file.
        most: look at about so many pictures.

    Raises:
        UserError: the file was made for pictures of another size.
    """
    unknown = []
    for path in list(pictures)[:: max(1, -(-len(pictures) // most))]:
        header = read_image_header(path)
        if header is None:
            continue
        is_annotated_upright(path, header, pictures[path], declared, source)
        if header.orientation != 1 and pictures[path] is None and declared is None:
            unknown.append(path)
    if unknown:
        _log.warning(
            "%s: it does not state the size of %d pictures with an orientation tag (%s, …); its pixels are taken for "
            "those of the stored pictures",
            *(source, len(unknown), Path(unknown[0]).name),
        )

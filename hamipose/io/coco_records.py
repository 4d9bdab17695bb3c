"""Typed records of COCO JSON, and readers of images and categories."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.io.coco_values import Identifier, Keypoints, as_file_name, as_identifier, as_number
from hamipose.io.json_file import format_value
from hamipose.io.skipped_records import BadRecord, SkippedRecords
from hamipose.keypoint_names import canonical_names

__all__ = ["CocoCategory", "CocoImage", "CocoPerson", "read_categories", "read_images"]

_PERSON = ("person", "people", "human", "pedestrian")


@dataclass(frozen=True)
class CocoImage:
    """Entry of ``images``; width and height are None if the file does not state them."""

    id: Identifier
    file_name: str
    width: int | None
    height: int | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height; None if the file does not state both."""
        return None if self.width is None or self.height is None else (self.width, self.height)


@dataclass(frozen=True)
class CocoCategory:
    """Entry of ``categories``; `keypoints` are our names, `written` the names in the file."""

    id: Identifier | None
    name: str
    keypoints: tuple[str, ...]
    written: tuple[str, ...]

    @property
    def is_person(self) -> bool:
        """True if the name of the category means people."""
        return self.name.strip().lower() in _PERSON


@dataclass(frozen=True)
class CocoPerson:
    """One person of a file.

    Attributes:
        number: position of the record in the file.
        id: id of the record; None if it has none.
        image_id: id of the image; in a list of results possibly its file name.
        image: the image; None in a list of results.
        category: the category; None if the file lists none.
        box_px: left, top, width and height; None if there is no box or boxes were not read.
        keypoints: the keypoints; None if only boxes were read.
        score: confidence of a detector; None for a label.
        rotation_deg: rotation of the person, clockwise as seen; an extension of the format.
    """

    number: int
    id: Identifier | None
    image_id: Identifier
    image: CocoImage | None
    category: CocoCategory | None
    box_px: Float[np.ndarray, "4"] | None
    keypoints: Keypoints | None
    score: float | None
    rotation_deg: float = 0.0

    @property
    def image_name(self) -> Identifier:
        """File name of the image, or its id in a list of results."""
        return self.image_id if self.image is None else self.image.file_name


def read_images(records: list[Any], skipped: SkippedRecords) -> dict[Identifier, CocoImage]:
    """Return the usable images by id.

    Raises:
        UserError: two images have the same id, so that people would be assigned to the wrong image.
    """
    images: dict[Identifier, CocoImage] = {}
    repeated: dict[Identifier, list[str]] = {}
    for position, record in enumerate(records):
        key = as_identifier(record.get("id")) if isinstance(record, dict) else None
        try:
            if key is None:
                raise BadRecord("has no id")
            name = as_file_name(record.get("file_name"))
        except BadRecord as error:
            skipped.add("image", f"number {position}" if key is None else format_value(key), str(error))
            continue
        if key in images:
            repeated.setdefault(key, [images[key].file_name]).append(name)
            continue
        sides = [as_number(record.get(side)) for side in ("width", "height")]
        for side, value in zip(("width", "height"), sides, strict=True):
            if record.get(side) is not None and (value is None or not 1 <= value <= 1e6):
                skipped.add(
                    "size", f"image {format_value(key)}", f"{side} is not a number of pixels, so it is not checked"
                )
        whole = [int(v) if v is not None and 1 <= v <= 1e6 else None for v in sides]
        images[key] = CocoImage(key, name, whole[0], whole[1])
    if repeated:
        key, names = next(iter(repeated.items()))
        more = f" (and {len(repeated) - 1} more repeated ids)" if len(repeated) > 1 else ""
        raise UserError(
            f"{skipped.path} has {len(names)} images with id {format_value(key)}: "
            f"{', '.join(format_value(name) for name in names[:3])}{more}; expected a unique id for each image; if "
            "exports were merged, renumber their images"
        )
    return images


def read_categories(records: object, skipped: SkippedRecords) -> list[CocoCategory]:
    """Return the usable categories.

    Raises:
        UserError: `records` is not a list, or two different categories have the same id.
    """
    if records is None:
        return []
    if not isinstance(records, list):
        raise UserError(f"categories of {skipped.path} are not a list; expected id, name and keypoints of each")
    categories: dict[Identifier | None, CocoCategory] = {}
    for position, record in enumerate(records):
        key = as_identifier(record.get("id")) if isinstance(record, dict) else None
        try:
            if not isinstance(record, dict) or (key is None and len(records) > 1):
                raise BadRecord("has no id")
            category = _category(key, record)
        except BadRecord as error:
            skipped.add("category", f"number {position}" if key is None else format_value(key), str(error))
            continue
        if categories.setdefault(key, category) != category:
            raise UserError(
                f"{skipped.path} has different categories with id {format_value(key)}; expected a unique id for each"
            )
    return list(categories.values())


def _category(key: Identifier | None, record: dict[str, Any]) -> CocoCategory:
    name = record.get("name")
    written = record.get("keypoints")
    if written is None:
        written = []
    if not isinstance(written, list) or not all(isinstance(one, str) and one.strip() for one in written):
        raise BadRecord("its keypoints are not a list of names")
    try:
        names = canonical_names(written)
    except ValueError as error:
        raise BadRecord(f"of its keypoints {error}") from None
    return CocoCategory(key, name if isinstance(name, str) else "", names, tuple(written))

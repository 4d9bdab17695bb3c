"""Typed records of COCO JSON, and how images and categories are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.io.coco_values import Identifier, Keypoints, as_file_name, as_number, identifier
from hamipose.io.json_file import format_value
from hamipose.io.skipped_records import BadRecord, SkippedRecords
from hamipose.keypoint_names import canonical_names

__all__ = ["CocoCategory", "CocoImage", "CocoPerson", "read_categories", "read_images"]

_PERSON = ("person", "people", "human", "pedestrian")


@dataclass(frozen=True)
class CocoImage:
    """One entry of ``images``; width and height are None where the file does not state them."""

    id: Identifier
    file_name: str
    width: int | None
    height: int | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, if the file states both."""
        return None if self.width is None or self.height is None else (self.width, self.height)


@dataclass(frozen=True)
class CocoCategory:
    """One entry of ``categories``; `keypoints` are our names, `written` those of the file."""

    id: Identifier | None
    name: str
    keypoints: tuple[str, ...]
    written: tuple[str, ...]

    @property
    def is_person(self) -> bool:
        """Whether its name says that it is people."""
        return self.name.strip().lower() in _PERSON


@dataclass(frozen=True)
class CocoPerson:
    """One person of the file.

    Attributes:
        number: position of the record in the file.
        id: of the record; None where it has none.
        image_id: of the picture; in a results list this may be its file name.
        image: None in a results list.
        category: None where the file lists none.
        box_px: left, top, width and height; None where there is no box.
        keypoints: None where only boxes were asked for.
        score: how sure a detector is of the person; None of a label.
        rotation_deg: how far the person is turned, clockwise as seen; a number of our own.
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
        """The picture's file name, or its id in a results list."""
        return self.image_id if self.image is None else self.image.file_name


def read_images(records: list[Any], skipped: SkippedRecords) -> dict[Identifier, CocoImage]:
    """Return the images that can be used, by id.

    Raises:
        UserError: two images have one id, so that people would land on other pictures.
    """
    images: dict[Identifier, CocoImage] = {}
    repeated: dict[Identifier, list[str]] = {}
    for position, record in enumerate(records):
        key = identifier(record.get("id")) if isinstance(record, dict) else None
        try:
            if key is None:
                raise BadRecord("has no id")
            name = as_file_name(record.get("file_name"))
        except BadRecord as error:
            skipped.skip("image", f"number {position}" if key is None else format_value(key), str(error))
            continue
        if key in images:
            repeated.setdefault(key, [images[key].file_name]).append(name)
            continue
        sides = [as_number(record.get(side)) for side in ("width", "height")]
        for side, found in zip(("width", "height"), sides, strict=True):
            if record.get(side) is not None and (found is None or not 1 <= found <= 1e6):
                skipped.skip(
                    "size", f"image {format_value(key)}", f"{side} is not a number of pixels, so it is not checked"
                )
        whole = [int(v) if v is not None and 1 <= v <= 1e6 else None for v in sides]
        images[key] = CocoImage(key, name, whole[0], whole[1])
    if repeated:
        key, names = next(iter(repeated.items()))
        more = f" (and {len(repeated) - 1} more repeated ids)" if len(repeated) > 1 else ""
        raise UserError(
            f"{skipped.path} has {len(names)} images with id {format_value(key)}: "
            f"{', '.join(format_value(name) for name in names[:3])}{more}; expected an id of its own for each image: where "
            "exports were merged, number their images anew"
        )
    return images


def read_categories(records: object, skipped: SkippedRecords) -> list[CocoCategory]:
    """Return the categories that can be used.

    Raises:
        UserError: they are not a list, or two different ones have one id.
    """
    if records is None:
        return []
    if not isinstance(records, list):
        raise UserError(f"categories of {skipped.path} are not a list; expected id, name and keypoints of each")
    found: dict[Identifier | None, CocoCategory] = {}
    for position, record in enumerate(records):
        key = identifier(record.get("id")) if isinstance(record, dict) else None
        try:
            if not isinstance(record, dict) or (key is None and len(records) > 1):
                raise BadRecord("has no id")
            category = _category(key, record)
        except BadRecord as error:
            skipped.skip("category", f"number {position}" if key is None else format_value(key), str(error))
            continue
        if found.setdefault(key, category) != category:
            raise UserError(
                f"{skipped.path} has different categories with id {format_value(key)}; expected an id of its own for each"
            )
    return list(found.values())


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

"""Read COCO JSON: annotation files, lists of results, boxes, and the files that `predict` writes.

A file is either an object with ``images``, ``annotations`` and ``categories`` (COCO's annotation format), or a list of
results with ``image_id``. Records that cannot be used are skipped and listed in :attr:`CocoFile.skipped`, which every
caller reports. Problems that make the whole file unusable or ambiguous raise :class:`UserError`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import UserError
from hamipose.io.coco_records import CocoCategory, CocoImage, CocoPerson, read_categories, read_images
from hamipose.io.coco_values import Identifier, KeypointRows, ThirdNumbers, as_box, as_identifier, as_number, as_rows
from hamipose.io.json_file import format_value, read_json
from hamipose.io.skipped_records import BadRecord, SkippedRecords

__all__ = ["CocoCategory", "CocoFile", "CocoImage", "CocoPerson", "read_coco"]

_EXPECTED = "COCO format: images, annotations and categories"


class CocoFile:
    """Content of a COCO file; see :func:`read_coco`.

    Attributes:
        path: path of the file.
        info: ``info`` of the file; empty if it has none.
        images: images by id; None in a list of results.
        categories: usable categories.
        skipped: records that were skipped so far, with reasons.
    """

    def __init__(self, path: Path, content: dict[str, Any] | list[Any]):
        self.path = path
        self.skipped = SkippedRecords(path)
        self.info: dict[str, Any] = {}
        self.images: dict[Identifier, CocoImage] | None = None
        self.categories: list[CocoCategory] = []
        if isinstance(content, dict):
            self.info = content["info"] if isinstance(content.get("info"), dict) else {}
            self.images = read_images(content["images"], self.skipped)
            self.categories = read_categories(content.get("categories"), self.skipped)
            self._records = content["annotations"]
        else:
            self._records = content

    @property
    def upright(self) -> bool | None:
        """True if pixels are those of images rotated by their orientation tags; None if the file does not state it."""
        stated = self.info.get("upright")
        return stated if isinstance(stated, bool) else None

    def __len__(self) -> int:
        """Return the number of annotations or results, including unusable ones."""
        return len(self._records)

    def _category_of(self, record: dict[str, Any]) -> CocoCategory | None:
        """Return the category of an annotation; None if the file lists no categories."""
        if not self.categories:
            if self.skipped.count("category"):
                raise BadRecord("its category cannot be used")
            return None
        category_id = record.get("category_id")
        if category_id is None or self.categories[0].id is None:
            if len(self.categories) == 1:
                return self.categories[0]
            raise BadRecord("has no category_id, and the file has several categories")
        key = as_identifier(category_id)
        category = next((one for one in self.categories if one.id == key), None)
        if category is None:
            raise BadRecord("its category_id is not a category of the file that can be used")
        return category

    def _usable(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for position, record in enumerate(self._records):
            if isinstance(record, dict):
                yield position, record
            else:
                self.skipped.add(self._kind, f"number {position}", "is not an object")

    @property
    def _kind(self) -> str:
        return "result" if self.images is None else "annotation"

    def _skip(self, position: int, record: dict[str, Any], reason: str) -> None:
        key = as_identifier(record.get("id"))
        self.skipped.add(self._kind, f"number {position}" if key is None else format_value(key), reason)

    def _person(self, position: int, record: dict[str, Any], category: CocoCategory | None) -> CocoPerson:
        """Read a record without its box and its keypoints."""
        key = as_identifier(record.get("image_id"))
        if key is None:
            raise BadRecord("has no image_id")
        if self.images is not None and key not in self.images:
            raise BadRecord("its image_id is not an image of the file that can be used")
        score = record.get("score")
        if score is not None and as_number(score) is None:
            raise BadRecord("its score is not a number")
        rotation_deg = record.get("rotation_deg", 0.0)
        if as_number(rotation_deg) is None:
            raise BadRecord("its rotation_deg is not a number")
        return CocoPerson(
            number=position,
            id=as_identifier(record.get("id")),
            image_id=key,
            image=None if self.images is None else self.images[key],
            category=category,
            box_px=None,
            keypoints=None,
            score=None if score is None else as_number(score),
            rotation_deg=float(rotation_deg),
        )

    def people_with_keypoints(
        self,
        wanted: Collection[str],
        names: Sequence[str] | None = None,
        categories: Sequence[CocoCategory] = (),
        *,
        boxes: bool = False,
        unlabeled: bool = False,
    ) -> list[CocoPerson]:
        """Return the people with keypoints; the names of the keypoints depend on `category_id`.

        Args:
            wanted: names of keypoints to use; categories without any of them are skipped, and other names of the
                remaining categories are listed in a note.
            names: names of the keypoints in order, used if neither the file nor `categories` states them.
            categories: categories of the annotation file that a list of results belongs to.
            boxes: also read boxes, and skip people with an invalid box.
            unlabeled: keep people whose keypoints have positions but are all unlabeled.

        Raises:
            UserError: the file has no category with wanted keypoints.
        """
        unusable = not self.categories and self.skipped.count("category") > 0
        listed = self.categories or ([] if unusable else list(categories))
        useful = self._useful_categories(listed, wanted, names)
        by_names: dict[tuple[str, ...], list[tuple[CocoPerson, dict[str, Any], KeypointRows]]] = {}
        for position, record in self._usable():
            try:
                category = self._category_of(record) if self.categories else _lookup(record, listed)
                if category is not None and category not in useful:
                    raise BadRecord(f"category {format_value(category.name)} has no keypoints to be used here")
                order = names if category is None else category.keypoints
                if order is None:
                    raise BadRecord("the names of its keypoints are unknown")
                if _is_crowd(record):
                    raise BadRecord("marks a crowd (iscrowd)")
                person = self._person(position, record, category)
                rows = as_rows(record, len(order))
                if rows is None:
                    raise BadRecord("has no keypoints")
                by_names.setdefault(tuple(order), []).append((person, record, rows))
            except BadRecord as error:
                self._skip(position, record, str(error))
        third_numbers = {order: ThirdNumbers([rows for *_, rows in own], order) for order, own in by_names.items()}
        scored = any(t.fractional.any() for t in third_numbers.values()) and not any(
            t.flagged.any() for t in third_numbers.values()
        )
        people = []
        for order, own in by_names.items():
            certain = scored or self.images is None
            predicted = np.array([certain or person.score is not None for person, *_ in own])
            useful_positions = np.array([name in wanted for name in order])
            for (person, record, _), keypoints in zip(own, third_numbers[order].keypoints(predicted), strict=True):
                try:
                    if keypoints is None:
                        raise BadRecord("the third number of a keypoint must be 0, 1, 2, null or a score in (0, 1]")
                    usable = keypoints.has_position if unlabeled else keypoints.visibility > 0
                    if not usable.any():
                        raise BadRecord("has no labeled keypoint")
                    if not (usable & useful_positions).any():
                        raise BadRecord("has no labeled keypoint of those to be used here")
                    box = as_box(record.get("bbox")) if boxes else None
                    people.append(replace(person, box_px=box, keypoints=keypoints))
                except BadRecord as error:
                    self._skip(person.number, record, str(error))
        return sorted(people, key=lambda person: person.number)

    def _useful_categories(
        self, listed: Sequence[CocoCategory], wanted: Collection[str], names: Sequence[str] | None
    ) -> list[CocoCategory]:
        named = [category for category in listed if category.keypoints]
        useful = [category for category in named if set(category.keypoints) & set(wanted)]
        useful = [category for category in useful if category.is_person] or useful
        if useful or (not listed and not self.skipped.count("category") and names is not None):
            for category in useful:
                unmatched = [w for w, k in zip(category.written, category.keypoints, strict=True) if k not in wanted]
                if unmatched:
                    self.skipped.add_note(
                        f"keypoints of category {format_value(category.name)} that are not used here: "
                        f"{', '.join(format_value(name)[1:-1] for name in unmatched)}"
                    )
            return useful
        if named:
            written = [format_value(name)[1:-1] for category in named for name in category.written]
            raise UserError(
                f"{self.path} has keypoints {', '.join(written[:4])}…, none of which can be used here; expected some "
                f"of {', '.join(list(wanted)[:4])}…"
            )
        skipped = f" (skipped {self.skipped.describe()})" if self.skipped.by_reason else ""
        raise UserError(f"{self.path} names no keypoints in its categories{skipped}; expected {_EXPECTED}")

    def people_with_boxes(self) -> list[CocoPerson]:
        """Return the people with a box; other categories and crowds are skipped."""
        people_ids = self._person_ids()
        people = []
        for position, record in self._usable():
            try:
                category = self._category_of(record)
                key = as_identifier(record.get("category_id")) if category is None else category.id
                if people_ids is not None and key not in people_ids:
                    name = (
                        f"category_id {format_value(key)}"
                        if category is None
                        else f"category {format_value(category.name)}"
                    )
                    raise BadRecord(f"{name} is not person")
                if _is_crowd(record):
                    raise BadRecord("marks a crowd (iscrowd)")
                box = as_box(record.get("bbox"))
                if box is None:
                    raise BadRecord("has no bbox")
                people.append(replace(self._person(position, record, category), box_px=box))
            except BadRecord as error:
                self._skip(position, record, str(error))
        return people

    def _person_ids(self) -> set[Identifier | None] | None:
        """Return the ids of the categories that are people; None if all are.

        Raises:
            UserError: there are several categories, and none is named person or has keypoints.
        """
        if self.categories:
            by_name = {c.id for c in self.categories if c.is_person}
            found = by_name or {c.id for c in self.categories if c.keypoints}
            if not found and len(self.categories) > 1:
                names = ", ".join(format_value(c.name)[1:-1] for c in self.categories[:5])
                raise UserError(f"{self.path} has categories {names}; expected one named person")
            return found or {self.categories[0].id}
        ids = {as_identifier(r.get("category_id")) for r in self._records if isinstance(r, dict)}
        if len(ids) < 2:
            return None
        for person in (0, 1):  # detectors use either; in COCO person is 1
            if person in ids:
                return {person}
        some = ", ".join(format_value(i) for i in list(ids)[:5])
        raise UserError(f"{self.path} has category_id {some} and no categories; expected 1 for people")


def _lookup(record: dict[str, Any], listed: Sequence[CocoCategory]) -> CocoCategory | None:
    """Return the category of a result among those of the annotation file.

    A result without a category belongs to the only category with keypoints.

    Raises:
        BadRecord: the annotation file does not have the category.
    """
    if not listed:
        return None
    category_id = record.get("category_id")
    named = [category for category in listed if category.keypoints]
    if len(named) == 1 and (category_id is None or named[0].id is None):
        return named[0]
    found = next((category for category in listed if category.id == as_identifier(category_id)), None)
    if found is None:
        raise BadRecord("its category_id is not a category of the data set")
    return found


def _is_crowd(record: dict[str, Any]) -> bool:
    return bool(as_number(record.get("iscrowd"))) or record.get("iscrowd") is True


def read_coco(path: str | Path, what: str = "annotation file", content: Any = None) -> CocoFile:
    """Read a file in COCO format.

    Args:
        path: path of the file, JSON in any encoding.
        what: description of the file for messages.
        content: content of the file if it was read before. Default: None, read it.

    Raises:
        UserError: the file cannot be read, has another format, or two of its images have the same id.
    """
    path = Path(path)
    content = read_json(path, _EXPECTED, what) if content is None else content
    if isinstance(content, dict):
        lacking = [part for part in ("images", "annotations") if not isinstance(content.get(part), list)]
        if lacking:
            raise UserError(f"{what} {path} lacks {' and '.join(lacking)} (as lists); expected {_EXPECTED}")
    elif not isinstance(content, list):
        raise UserError(f"{what} {path} contains {format_value(content)}; expected {_EXPECTED}, or a list of results")
    return CocoFile(path, content)

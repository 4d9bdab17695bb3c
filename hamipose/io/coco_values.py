"""Read single values of COCO JSON in the variants that other programs write; invalid values raise BadRecord."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.io.json_file import format_value
from hamipose.io.skipped_records import BadRecord

__all__ = [
    "Identifier",
    "KeypointRows",
    "Keypoints",
    "ThirdNumbers",
    "as_box",
    "as_file_name",
    "as_identifier",
    "as_number",
    "as_rows",
]

Identifier = int | str
"""An id: an integer in any notation (7, 7.0, "7"), or text such as a UUID."""

_FARTHEST_PX = 1e6  # larger than any image; larger values are invalid
_SMALLEST_PX = 0.01


def as_number(value: object) -> float | None:
    """Return a finite number, which may be written as text; None for anything else."""
    if type(value) is float and abs(value) < math.inf:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_identifier(value: object) -> Identifier | None:
    """Return an id in normalized form; None for anything else.

    >>> as_identifier(7.0), as_identifier("7"), as_identifier("0007"), as_identifier("a-b"), as_identifier(None)
    (7, 7, '0007', 'a-b', None)
    """
    if type(value) is int and abs(value) < 10**18:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return as_identifier(int(value)) if value == int(value) else repr(value)
    if isinstance(value, int):
        return format_value(value)
    text = value.strip()
    whole = re.fullmatch(r"(0|-?[1-9][0-9]{0,17})(\.0+)?", text)
    return int(whole[1]) if whole else text or None


def as_file_name(value: object) -> str:
    """Return the file name of an image.

    Raises:
        BadRecord: the value is not a valid file name.
    """
    if not isinstance(value, str) or not value.strip():
        raise BadRecord("has no file_name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRecord("file_name is not valid text") from None
    if "\0" in value:
        raise BadRecord("file_name contains a null character")
    return value


def _split_text(value: object) -> object:
    """Return the parts of a list that is written as text; anything else unchanged."""
    if not isinstance(value, str):
        return value
    parts = [part for part in re.split(r"[\s,;]+", re.sub(r"[\[\]()]", " ", value)) if part]
    return [None if part.lower() in ("null", "none") else part for part in parts]


def as_box(value: object) -> Float[np.ndarray, "4"] | None:
    """Return left, top, width and height; None if there is no box.

    Raises:
        BadRecord: the value is not a box, or the box has no area.
    """
    parts = _split_text(value)
    if parts is None or parts == []:
        return None
    if not isinstance(parts, list) or len(parts) != 4:
        raise BadRecord("bbox is not left, top, width and height")
    numbers = [as_number(part) for part in parts]
    if any(n is None or abs(n) > _FARTHEST_PX for n in numbers):
        raise BadRecord("bbox contains a value that is not a finite number of pixels")
    box = np.array(numbers, np.float64)
    if (box[2:] < _SMALLEST_PX).any():
        raise BadRecord("bbox has no area; its width and height must be above 0")
    return box


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one person.

    Attributes:
        names: names of the keypoints, see :func:`hamipose.keypoint_names.canonical_names`.
        px: x and y in pixels of the image; 0 without a position.
        visibility: as in COCO: 0 not labeled or not found, 1 hidden, 2 visible.
        confidence: 1 for a label; the score of a prediction; 0 without a position.
        has_position: whether the keypoint has a position, labeled or not.
    """

    names: tuple[str, ...]
    px: Float[np.ndarray, "keypoint 2"]
    visibility: Int[np.ndarray, " keypoint"]
    confidence: Float[np.ndarray, " keypoint"]
    has_position: Bool[np.ndarray, " keypoint"]


@dataclass(frozen=True)
class KeypointRows:
    """The numbers of ``keypoints`` and ``keypoint_scores`` of one record; null becomes NaN."""

    values: Float[np.ndarray, "keypoint 3"]
    scores: Float[np.ndarray, " keypoint"] | None


class ThirdNumbers:
    """Interpretation of the third numbers of keypoints, for people with the same keypoints.

    0: not labeled. 1 and 2: hidden and visible. Null: labeled, unless the position is null or (0, 0). Between 0 and 1:
    a score, and visible. ``keypoint_scores`` take precedence as confidence; a score of 0 means not visible.

    Args:
        rows: keypoints of each person; at least one person.
        names: names of the keypoints.

    Attributes:
        fractional: for each person, whether a third number can only be a score.
        flagged: for each person, whether a third number can only be a visibility of COCO.
    """

    def __init__(self, rows: Sequence[KeypointRows], names: Sequence[str]):
        self._names = tuple(names)
        self._values = np.stack([row.values for row in rows])
        unknown = np.full(len(self._names), np.nan)
        self._scores = np.stack([unknown if row.scores is None else row.scores for row in rows])
        third = self._values[..., 2]
        self.fractional = ((third > 0) & (third < 1)).any(-1)
        self.flagged = (third == 2).any(-1)

    def keypoints(self, predicted: Bool[np.ndarray, " person"]) -> list[Keypoints | None]:
        """Return the keypoints of each person; None if a third number of a label is above 2.

        Args:
            predicted: for each person, whether third numbers are scores; then 1 and larger numbers are scores, too.
        """
        px, third = self._values[..., :2], self._values[..., 2]
        has_position = np.isfinite(px).all(-1)
        px = np.where(has_position[..., None], px, 0.0)
        third = np.where(np.isnan(third), np.where((px != 0).any(-1), 2.0, 0.0), third)
        scored = (predicted | self.fractional)[:, None]
        invalid: np.ndarray = np.any(~scored & (third > 2), axis=-1)
        visibility = np.where(third > 0, np.where(~scored & (third == 1), 1, 2), 0)
        confidence = np.where(np.isnan(self._scores), np.clip(third, 0, 1), np.clip(self._scores, 0, 1))
        visibility = np.where(has_position & ~(self._scores <= 0), visibility, 0).astype(np.int64)
        confidence = np.where(has_position, confidence, 0).astype(np.float32)
        columns = zip(px, visibility, confidence, has_position, invalid, strict=True)
        return [None if bad else Keypoints(self._names, *own) for *own, bad in columns]


def _numbers(value: object, what: str) -> np.ndarray:
    """Return a list as an array of numbers, with null as NaN.

    Raises:
        BadRecord: the value is not a regular list of numbers.
    """
    value = _split_text(value)
    if not isinstance(value, list):
        raise BadRecord(f"{what} is not a list of numbers")
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadRecord(f"{what} is not a list of numbers") from None
    if not np.isfinite(array).all():
        flat: list[Any] = value if array.ndim == 1 else [part for row in value for part in row]
        if array.ndim > 2 or any(part is not None and as_number(part) is None for part in flat):
            raise BadRecord(f"{what} contains NaN or Inf")
    return array


def as_rows(record: dict[str, Any], count: int) -> KeypointRows | None:
    """Return the keypoints of a record (flat, nested triples or pairs, or text); None if it has none.

    Args:
        record: an annotation or a result.
        count: number of keypoints of its category.

    Raises:
        BadRecord: the keypoints are invalid, or their number is wrong.
    """
    raw = record.get("keypoints")
    if raw is None or raw in ([], ""):
        return None
    array = _numbers(raw, "keypoints")
    expected = f"{3 * count} (x, y and a third number for each of {count} keypoints)"
    if array.ndim == 1 and array.size == 3 * count:
        array = array.reshape(count, 3)
    elif array.ndim == 1 and array.size == 2 * count:
        array = array.reshape(count, 2)
    elif array.ndim != 2 or array.shape[0] != count or array.shape[1] not in (2, 3):
        raise BadRecord(f"has {array.size} numbers in keypoints instead of {expected}")
    if array.shape[1] == 2:
        array = np.column_stack([array, np.full(count, np.nan)])
    if (np.abs(array[:, :2]) > _FARTHEST_PX).any():
        raise BadRecord("keypoints contain a value that is not a number of pixels")
    scores = None
    if record.get("keypoint_scores") is not None:
        scores = _numbers(record["keypoint_scores"], "keypoint_scores")
        if scores.shape != (count,):
            raise BadRecord(f"has {scores.size} keypoint_scores instead of {count}")
    return KeypointRows(array, scores)

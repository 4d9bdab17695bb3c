"""Read OpenPose's JSON: one file per picture, ``people`` with ``pose_keypoints_2d``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamipose.io.coco_values import Keypoints, ThirdNumbers, as_rows
from hamipose.io.skipped_records import BadRecord, SkippedRecords

__all__ = ["openpose_people"]


def openpose_people(records: list[Any], names: Sequence[str], skipped: SkippedRecords) -> list[Keypoints]:
    """Return the people of a file; those that cannot be used are skipped.

    Args:
        records: the file's ``people``.
        names: of OpenPose's keypoints in order.
        skipped: what is skipped is added to them.
    """
    people = []
    for position, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                raise BadRecord("is not an object")
            rows = as_rows({"keypoints": record.get("pose_keypoints_2d")}, len(names))
            if rows is None:
                raise BadRecord("has no pose_keypoints_2d")
            (person,) = ThirdNumbers([rows], names).keypoints(np.array([True]))
            if person is None or not person.visibility.any():
                raise BadRecord("has no keypoint that was found (all confidences are 0)")
            people.append(person)
        except BadRecord as error:
            skipped.skip("person", position, str(error))
    return people

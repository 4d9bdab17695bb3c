"""Read JSON files of OpenPose: one file per image, ``people`` with ``pose_keypoints_2d``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamipose.io.coco_values import Keypoints, ThirdNumbers, as_rows
from hamipose.io.skipped_records import BadRecord, SkippedRecords

__all__ = ["openpose_people"]


def openpose_people(records: list[Any], names: Sequence[str], skipped: SkippedRecords) -> list[Keypoints]:
    """Return the usable people of a file.

    Args:
        records: ``people`` of the file.
        names: names of the keypoints of OpenPose, in order.
        skipped: unusable records are added here.
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
                raise BadRecord("has no detected keypoint (all confidences are 0)")
            people.append(person)
        except BadRecord as error:
            skipped.add("person", position, str(error))
    return people

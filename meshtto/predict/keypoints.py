"""2D keypoints of users' people, from the files that detectors write, as evidence in the order of the 49 joints."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.errors import InputError
from hamipose.skeletons import COCO17
from meshtto.joints import OPENPOSE25, placed
from meshtto.predict.pictures import Shown

__all__ = ["Evidence", "KeypointFile", "Source", "evidence_of", "read_keypoints"]


@dataclass
class Evidence:
    """Keypoints of one person.

    Attributes:
        keypoints_px: in pixels of the picture.
        confidence: 0: not found.
    """

    keypoints_px: Float[np.ndarray, "49 2"]
    confidence: Float[np.ndarray, "49"]


def evidence_of(names: Sequence[str], rows: Float[np.ndarray, "keypoint 3"], where: str) -> Evidence:
    """Keypoints put where their names belong; joints that no keypoint is evidence of have confidence 0.

    Args:
        names: of the keypoints, of any skeleton; those that are no joint of the body are left out.
        rows: x and y in pixels of the picture, confidence, which is cut to 0 … 1.
        where: they come from, for errors.

    Raises:
        InputError: a number is not finite.
    """
    if not np.isfinite(rows).all():
        raise InputError(f"{where} holds {np.size(rows) - np.isfinite(rows).sum()} numbers that are not finite")
    found = placed(names, rows)
    return Evidence(found[:, :2].astype(np.float32), np.clip(found[:, 2], 0, 1).astype(np.float32))


def _placed(names: Sequence[str], triples: Any, where: str) -> Evidence:
    values = np.asarray(triples, np.float64).reshape(-1)
    if len(values) != 3 * len(names):
        raise InputError(f"{where} has {len(values)} numbers for {len(names)} keypoints, expected x, y, score of each")
    evidence = evidence_of(names, values.reshape(-1, 3), where)
    if not evidence.confidence.any():
        raise InputError(f"{where}: all confidences are 0; expected at least one keypoint that was found")
    return evidence


def _of_coco(content: dict[str, Any], path: Path) -> dict[str, list[Evidence]]:
    """COCO's format, as `hamipose predict` writes it too; scores where there are any."""
    files = {image["id"]: image["file_name"] for image in content["images"]}
    names = next((c["keypoints"] for c in content.get("categories", []) if "keypoints" in c), list(COCO17.keypoints))
    people: dict[str, list[Evidence]] = {}
    for number, annotation in enumerate(content["annotations"]):
        rows = np.asarray(annotation["keypoints"], np.float64).reshape(-1, 3)
        if "keypoint_scores" in annotation:
            rows[:, 2] = annotation["keypoint_scores"]
        else:
            rows[:, 2] = np.minimum(rows[:, 2], 1)
        evidence = _placed(names, rows, f"{path}, annotation {number}")
        people.setdefault(Path(files[annotation["image_id"]]).name, []).append(evidence)
    return people


def read_keypoints(path: str | Path) -> dict[str, list[Evidence]]:
    """People of each picture, by the picture's file name; under "" those of a file that names no picture.

    Two formats are read: COCO's (images, annotations, categories), which `python -m hamipose predict` writes, with any
    names of keypoints; and OpenPose's (``people`` with ``pose_keypoints_2d`` in BODY_25 order), one file a picture.

    Raises:
        InputError: the file is missing, no JSON, of neither format, or holds no person.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"keypoints {path} cannot be read ({error.strerror}); give a JSON file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"keypoints {path} is no JSON ({error}); give COCO's or OpenPose's format") from None
    try:
        if isinstance(content, dict) and "annotations" in content:
            people = _of_coco(content, path)
        elif isinstance(content, dict) and "people" in content:
            rows = [person["pose_keypoints_2d"] for person in content["people"]]
            found = [_placed(list(OPENPOSE25), row, f"{path}, person {i}") for i, row in enumerate(rows)]
            people = {"": found} if found else {}
        else:
            raise InputError(
                f"keypoints {path} has neither annotations (COCO) nor people (OpenPose); give one of these formats"
            )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"keypoints {path} is not as its format has it ({type(error).__name__}: {error})") from None
    if not people:
        raise InputError(f"keypoints {path} holds no person")
    return people


class Source(ABC):
    """Where 2D evidence comes from; as text, what it is called."""

    @abstractmethod
    def of(self, pictures: Sequence[Shown]) -> list[list[Evidence]]:
        """The people of each picture."""


class KeypointFile(Source):
    """2D evidence from a file, read whole and once.

    Args:
        path: as :func:`read_keypoints` takes it.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.people = read_keypoints(path)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def names_pictures(self) -> bool:
        """Whether it says which picture its people are in; OpenPose's format does not."""
        return "" not in self.people

    def of(self, pictures: Sequence[Shown]) -> list[list[Evidence]]:
        """The people of each picture, found by its name."""
        return [self.people.get(shown.name, self.people.get("", [])) for shown in pictures]

"""2D keypoints of users' people, from the files that detectors write, as evidence in the order of the 49 joints."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.errors import InputError
from hamipose.io.coco import CocoPerson, read_coco
from hamipose.io.coco_values import Keypoints
from hamipose.io.json_file import read_json
from hamipose.io.json_file import shown as as_shown
from hamipose.io.omissions import Omissions
from hamipose.io.openpose import openpose_people
from hamipose.io.picture_frame import check_frames, read_header, turned_points, upright_of
from hamipose.io.picture_names import PathEnds, plain_path
from hamipose.skeletons import COCO17
from meshtto.joints import JOINTS24, OPENPOSE25, joints_named, placed
from meshtto.predict.frames import Shown

__all__ = ["Evidence", "KeypointFile", "Source", "evidence_of"]

#: Names of keypoints that are evidence of a joint.
_WANTED = {name for name in (*OPENPOSE25, *JOINTS24, "head") if joints_named(name)}
_EXPECTED = "COCO's format (images, annotations, categories; or a list of results) or OpenPose's (people)"


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


class Source(ABC):
    """Where 2D evidence comes from; as text, what it is called."""

    @abstractmethod
    def of(self, pictures: Sequence[Shown]) -> list[list[Evidence]]:
        """Return the people of each picture."""


class KeypointFile(Source):
    """2D evidence from a file, read whole and once.

    Two formats are read: COCO's, as an annotation file, which `python -m hamipose predict` writes, or as a list of
    results, with any names of keypoints; and OpenPose's (``people`` with ``pose_keypoints_2d`` in BODY_25 order), one
    file per picture. People that cannot be used are skipped, and counted and named in one warning.

    Args:
        path: of the file.

    Attributes:
        people: keypoints of each picture's people, by the picture's name; under "" those of a file that names none.
        omissions: what was skipped.

    Raises:
        InputError: the file cannot be read, is in neither format, or has no person that can be used.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.people: dict[str, list[Keypoints]] = {}
        self._images: dict[str, CocoPerson] = {}  # one of each picture's people, for what the file says of it
        self._numbers: dict[int, str] = {}
        self._upright: bool | None = None
        content = read_json(path, _EXPECTED, "keypoints")
        if isinstance(content, dict) and "annotations" not in content and isinstance(content.get("people"), list):
            self.omissions = Omissions(self.path)
            found = openpose_people(content["people"], OPENPOSE25, self.omissions)
            self.people = {"": found} if found else {}
            self._upright = True  # OpenPose turns pictures as their tags say
        elif isinstance(content, list) or (isinstance(content, dict) and "annotations" in content):
            self._read_coco(content)
        else:
            raise InputError(
                f"keypoints {path} have neither annotations (COCO) nor people (OpenPose); give {_EXPECTED}"
            )
        if not self.people:
            reasons = f" (skipped {self.omissions.reasons()})" if self.omissions.skipped else ""
            raise InputError(f"keypoints {path} hold no person that can be used{reasons}; give {_EXPECTED}")
        self.omissions.warn()
        self._ends = PathEnds(self.people)

    def _read_coco(self, content: object) -> None:
        file = read_coco(self.path, "keypoints", content)
        self.omissions, self._upright = file.omissions, file.upright
        for person in file.people_with_keypoints(_WANTED, COCO17.keypoints):
            name = plain_path(str(person.picture))
            assert person.keypoints is not None
            self.people.setdefault(name, []).append(person.keypoints)
            self._images[name] = person
            if isinstance(person.picture, int):
                self._numbers[person.picture] = name

    def __str__(self) -> str:
        return str(self.path)

    @property
    def names_pictures(self) -> bool:
        """Whether it says which picture its people are in; OpenPose's format does not."""
        return "" not in self.people

    def _name_of(self, picture: str) -> str | None:
        """Return what the file calls a picture; None where it does not name it.

        Raises:
            InputError: several of its names could be the picture's.
        """
        if not self.names_pictures:
            return ""
        names, _ = self._ends.nearest(picture)
        if len(names) > 1:
            raise InputError(
                f"keypoints {self.path} have people for {as_shown(names[0])} and {as_shown(names[1])}, each of which "
                f"could be {picture}; give a file that names it once"
            )
        number = re.search(r"(\d{1,18})$", Path(picture).stem)
        return names[0] if names else self._numbers.get(int(number[1])) if number else None

    def check(self, paths: Sequence[Path]) -> None:
        """Check, by their headers alone, that the file was made for these pictures.

        Args:
            paths: of pictures that will be recovered.

        Raises:
            InputError: one is of another size, or could have several names.
        """
        sizes = {}
        for path in paths:
            name = self._name_of(str(path.absolute()))
            if name is not None and name in self._images:
                image = self._images[name].image
                sizes[str(path)] = None if image is None else image.size
        check_frames(sizes, self._upright, self.path)

    def of(self, pictures: Sequence[Shown]) -> list[list[Evidence]]:
        """Return the people of each picture, found by its name."""
        found = []
        for shown in pictures:
            name = self._name_of(shown.name if shown.path is None else str(shown.path.absolute()))
            found.append([] if name is None else self.of_picture(name, shown))
        return found

    def of_picture(self, name: str, shown: Shown) -> list[Evidence]:
        """Return the people of one picture.

        Args:
            name: what the file calls it.
            shown: the picture.

        Raises:
            InputError: the file was made for a picture of another size.
        """
        people = self.people.get(name, [])
        person = self._images.get(name)
        stated = None if person is None or person.image is None else person.image.size
        height, width = shown.image.shape[:2]
        header = read_header(shown.path) if shown.path is not None and shown.frame is None else None
        upright = True
        if header is not None and name:
            upright = upright_of(shown.name, header, stated, self._upright, self.path)
        elif stated not in (None, (width, height)):
            raise InputError(
                f"{shown.name} has {width} × {height} px, but {self.path} states {stated[0]} × {stated[1]} px; "  # type: ignore[index]
                "expected keypoints of this picture"
            )
        evidence = []
        for number, one in enumerate(people):
            px = one.px if upright or header is None else turned_points(one.px, header)
            rows = np.column_stack([px, one.confidence])
            evidence.append(evidence_of(one.names, rows, f"{self.path}, person {number} of {shown.name}"))
        return evidence

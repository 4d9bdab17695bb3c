"""Read 2D keypoints from the files of detectors, as evidence for the 49 joints."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.io.coco import CocoPerson, read_coco
from hamipose.io.coco_values import Keypoints
from hamipose.io.image_names import PathSuffixes, normalize_path
from hamipose.io.image_orientation import check_image_sizes, is_annotated_upright, orient_points, read_image_header
from hamipose.io.json_file import format_value as as_shown
from hamipose.io.json_file import read_json
from hamipose.io.openpose import openpose_people
from hamipose.io.skipped_records import SkippedRecords
from hamipose.skeletons import COCO17
from meshtto.joints import JOINTS24, OPENPOSE25, joints_named, place_keypoints
from meshtto.predict.frames import Frame

__all__ = ["Evidence", "KeypointFile", "Source", "assign_evidence"]

#: Names of keypoints that are evidence of a joint.
_WANTED = {name for name in (*OPENPOSE25, *JOINTS24, "head") if joints_named(name)}
_EXPECTED = "COCO's format (images, annotations, categories; or a list of results) or OpenPose's (people)"


@dataclass
class Evidence:
    """2D evidence of one person.

    Attributes:
        keypoints_px: joints in pixels of the image.
        confidence: 0 means not found.
    """

    keypoints_px: Float[np.ndarray, "49 2"]
    confidence: Float[np.ndarray, "49"]


def assign_evidence(names: Sequence[str], rows: Float[np.ndarray, "keypoint 3"], where: str) -> Evidence:
    """Assign keypoints to the joints they are evidence of; all other joints have confidence 0.

    Args:
        names: keypoint names of any skeleton; those that are not joints of the body are ignored.
        rows: x and y in pixels of the image, and confidence, which is clipped to 0 … 1.
        where: source of the keypoints, for error messages.

    Raises:
        UserError: a number is not finite.
    """
    if not np.isfinite(rows).all():
        raise UserError(f"{where} contains {np.size(rows) - np.isfinite(rows).sum()} numbers that are not finite")
    found = place_keypoints(names, rows)
    return Evidence(found[:, :2].astype(np.float32), np.clip(found[:, 2], 0, 1).astype(np.float32))


class Source(ABC):
    """Source of 2D evidence; its string is its name."""

    @abstractmethod
    def find_people(self, frames: Sequence[Frame]) -> list[list[Evidence]]:
        """Return the people of each frame."""


class KeypointFile(Source):
    """2D evidence from a file, which is read entirely and once.

    Two formats are supported: COCO's, as an annotation file, which `python -m hamipose predict` writes, or as a list of
    results, with any keypoint names; and OpenPose's (``people`` with ``pose_keypoints_2d`` in BODY_25 order), one file
    per image. Unusable people are skipped, counted and reported in one warning.

    Args:
        path: the file.

    Attributes:
        people: keypoints of each image's people by the image's name; "" if the file names no images.
        skipped: skipped people.

    Raises:
        UserError: the file cannot be read, is in neither format, or contains no usable person.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.people: dict[str, list[Keypoints]] = {}
        self._images: dict[str, CocoPerson] = {}  # one person per image, for the file's image record
        self._numbers: dict[int, str] = {}
        self._upright: bool | None = None
        content = read_json(path, _EXPECTED, "keypoints")
        if isinstance(content, dict) and "annotations" not in content and isinstance(content.get("people"), list):
            self.skipped = SkippedRecords(self.path)
            found = openpose_people(content["people"], OPENPOSE25, self.skipped)
            self.people = {"": found} if found else {}
            self._upright = True  # OpenPose applies the EXIF orientation
        elif isinstance(content, list) or (isinstance(content, dict) and "annotations" in content):
            self._read_coco(content)
        else:
            raise UserError(
                f"keypoints {path} contain neither annotations (COCO) nor people (OpenPose); give {_EXPECTED}"
            )
        if not self.people:
            reasons = f" (skipped {self.skipped.describe()})" if self.skipped.by_reason else ""
            raise UserError(f"keypoints {path} contain no person that can be used{reasons}; give {_EXPECTED}")
        self.skipped.warn()
        self._ends = PathSuffixes(self.people)

    def _read_coco(self, content: object) -> None:
        file = read_coco(self.path, "keypoints", content)
        self.skipped, self._upright = file.skipped, file.upright
        for person in file.people_with_keypoints(_WANTED, COCO17.keypoints):
            name = normalize_path(str(person.image_name))
            assert person.keypoints is not None
            self.people.setdefault(name, []).append(person.keypoints)
            self._images[name] = person
            if isinstance(person.image_name, int):
                self._numbers[person.image_name] = name

    def __str__(self) -> str:
        return str(self.path)

    @property
    def names_images(self) -> bool:
        """Return whether the file names the images of its people; OpenPose's format does not."""
        return "" not in self.people

    def _name_of(self, image: str) -> str | None:
        """Return the file's name of an image; None if there is none.

        Raises:
            UserError: several of its names match the image.
        """
        if not self.names_images:
            return ""
        names, _ = self._ends.nearest(image)
        if len(names) > 1:
            raise UserError(
                f"keypoints {self.path} have people for {as_shown(names[0])} and {as_shown(names[1])}, each of which "
                f"could be {image}; give a file that names it once"
            )
        number = re.search(r"(\d{1,18})$", Path(image).stem)
        return names[0] if names else self._numbers.get(int(number[1])) if number else None

    def check(self, paths: Sequence[Path]) -> None:
        """Check by image headers that the file was made for these images.

        Args:
            paths: paths of the images to recover.

        Raises:
            UserError: an image has another size, or matches several names.
        """
        sizes = {}
        for path in paths:
            name = self._name_of(str(path.absolute()))
            if name is not None and name in self._images:
                image = self._images[name].image
                sizes[str(path)] = None if image is None else image.size
        check_image_sizes(sizes, self._upright, self.path)

    def find_people(self, frames: Sequence[Frame]) -> list[list[Evidence]]:
        """Return the people of each frame, found by its name."""
        found = []
        for frame in frames:
            name = self._name_of(frame.name if frame.path is None else str(frame.path.absolute()))
            found.append([] if name is None else self.people_of_image(name, frame))
        return found

    def people_of_image(self, name: str, frame: Frame) -> list[Evidence]:
        """Return the people of one image.

        Args:
            name: the file's name of the image.
            frame: the image.

        Raises:
            UserError: the file was made for an image of another size.
        """
        people = self.people.get(name, [])
        person = self._images.get(name)
        stated = None if person is None or person.image is None else person.image.size
        height, width = frame.image.shape[:2]
        header = read_image_header(frame.path) if frame.path is not None and frame.number is None else None
        upright = True
        if header is not None and name:
            upright = is_annotated_upright(frame.name, header, stated, self._upright, self.path)
        elif stated not in (None, (width, height)):
            raise UserError(
                f"{frame.name} has {width} × {height} px, but {self.path} states {stated[0]} × {stated[1]} px; "  # type: ignore[index]
                "expected keypoints of this image"
            )
        evidence = []
        for number, one in enumerate(people):
            px = one.px if upright or header is None else orient_points(one.px, header)
            rows = np.column_stack([px, one.confidence])
            evidence.append(assign_evidence(one.names, rows, f"{self.path}, person {number} of {frame.name}"))
        return evidence

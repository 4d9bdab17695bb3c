"""Whom a user means: pictures with people in them, boxes and 2D evidence, as the samples that a regressor reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from hamipose.data.base import UnlabelledDataset
from hamipose.data.crops import whole_box
from hamipose.data.decode import IMAGE_SUFFIXES, UnreadableImage, read_image
from hamipose.data.images import ImageFolder
from hamipose.data.video import Video
from hamipose.errors import InputError
from hamipose.types import UnlabelledSample
from meshtto.data.base import box_of_joints, unknown_mesh
from meshtto.predict.keypoints import Evidence
from meshtto.types import MeshSample

__all__ = ["Pictures", "Shown", "open_pictures", "people_in"]

_VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


@dataclass
class Shown:
    """A picture and its name, from which the names of files are made."""

    image: UInt8[np.ndarray, "height width 3"]
    name: str
    """File name of a picture; file name#number of a video's frame."""


class Pictures:
    """Pictures one by one; unreadable ones are left out and listed.

    Attributes:
        unreadable: a line for each.
    """

    def __init__(self, dataset: UnlabelledDataset) -> None:
        self._dataset = dataset
        self.unreadable: list[str] = []

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[Shown]:
        for index in range(len(self._dataset)):
            try:
                sample = self._dataset[index]
            except UnreadableImage as error:
                self.unreadable.append(str(error))
                continue
            path, mark, number = sample.name.partition("#")
            yield Shown(sample.image, Path(path).name + mark + number)


class _One(UnlabelledDataset):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> UnlabelledSample:
        image = read_image(self.path)
        return UnlabelledSample(image, whole_box(image.shape[1], image.shape[0]), str(self.path))


def open_pictures(source: str, every: int = 1) -> Pictures:
    """The pictures that `source` names: one, a folder of them, or a video.

    Raises:
        InputError: there is no such thing.
    """
    path = Path(source)
    dataset: UnlabelledDataset
    if path.is_dir():
        dataset = ImageFolder(source)
    elif not path.exists():
        raise InputError(f"{source} does not exist; give a picture, a folder of pictures or a video")
    elif path.suffix.lower() in _VIDEOS:
        dataset = Video(source, every=every)
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        dataset = _One(path)
    else:
        raise InputError(f"{source} is neither a picture ({', '.join(IMAGE_SUFFIXES)}) nor a video")
    dataset.prepare()
    return Pictures(dataset)


def people_in(shown: Shown, found: list[Evidence], focal_px: float | None = None) -> list[MeshSample]:
    """Samples of a picture's people; where nobody was found, one whose box is the whole picture, without evidence.

    Args:
        shown: the picture.
        found: its people.
        focal_px: of the camera; the picture's diagonal where not known.

    Raises:
        InputError: a person's keypoints are all outside the picture, or in one point.
    """
    height, width = shown.image.shape[:2]
    people = found or [Evidence(np.zeros((49, 2), np.float32), np.zeros(49, np.float32))]
    return [
        MeshSample(
            image=shown.image,
            box_px=_box(person, shown, number) if found else whole_box(width, height),
            name=f"{shown.name}#{number}",
            keypoints_px=person.keypoints_px,
            keypoints_confidence=np.zeros(49, np.float32),
            evidence_px=person.keypoints_px,
            evidence_confidence=person.confidence,
            joints_m=np.zeros((49, 3), np.float32),
            joints_confidence=np.zeros(49, np.float32),
            image_size=np.array([width, height], np.float32),
            focal_px=float(np.hypot(width, height)) if focal_px is None else focal_px,
            **unknown_mesh(),
        )
        for number, person in enumerate(people)
    ]


def _box(person: Evidence, shown: Shown, number: int) -> Float[np.ndarray, "4"]:
    height, width = shown.image.shape[:2]
    known = person.keypoints_px[person.confidence > 0]
    if not ((known >= 0) & (known < [width, height])).all(1).any():
        raise InputError(
            f"person {number} of {shown.name}: all {len(known)} keypoints lie outside the picture of {width} × "
            f"{height} px; check that the keypoints belong to it"
        )
    try:
        return box_of_joints(person.keypoints_px, person.confidence)
    except ValueError as error:
        raise InputError(f"person {number} of {shown.name} has no box: {error}") from None

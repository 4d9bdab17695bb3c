"""People in pictures by the boxes of an annotation file, which any detector can write, ours included."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.data.base import UnlabelledDataset
from hamipose.data.crops import padded_box
from hamipose.data.video_frames import VideoDecoder, frame_rate, frame_times
from hamipose.errors import InputError
from hamipose.types import UnlabelledSample

__all__ = ["BoxFile", "BoxedFrames", "BoxedPeople", "boxes_content", "read_boxes"]


@dataclass(frozen=True)
class BoxFile:
    """What a file of boxes says.

    Attributes:
        people: file name and box (left, top, width, height) of each person.
        upright: whether the boxes are in pixels of pictures turned as their orientation tags say; else of stored ones.
    """

    people: list[tuple[str, Float[np.ndarray, "4"]]]
    upright: bool


def boxes_content(
    pictures: Mapping[str, tuple[int, int]],
    people: Mapping[str, Sequence[Sequence[float]]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """People as a COCO annotation file that :func:`read_boxes` reads.

    Args:
        pictures: width and height of each, those without people too, in the order they are to have.
        people: left, top, width, height and score of those in each picture.
        about: becomes ``info``; ``upright: true`` says what :class:`BoxFile` says.
    """
    annotations = [
        {
            "image_id": number,
            "category_id": 1,
            "bbox": [round(float(v), 2) for v in box],
            "area": round(float(box[2] * box[3]), 2),
            "iscrowd": 0,
            "score": round(float(score), 4),
        }
        for number, name in enumerate(pictures, 1)
        for *box, score in people.get(name, ())
    ]
    return {
        "info": dict(about),
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(pictures.items(), 1)
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, 1)],
        "categories": [{"id": 1, "name": "person"}],
    }


def read_boxes(path: Path) -> BoxFile:
    """The boxes of the annotations of a COCO file; keypoints are not looked at.

    Raises:
        InputError: the file is missing or of another form, or a box has no area.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"box file {path} cannot be read ({error.strerror}); expected COCO annotations") from None
    except ValueError as error:
        raise InputError(f"box file {path} is no valid JSON ({error}); expected COCO annotations") from None
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise InputError(f"box file {path} lacks images or annotations; expected COCO annotations")
    found = []
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for annotation in content["annotations"]:
            box = np.asarray(annotation["bbox"], np.float32)
            if box.shape != (4,) or not (box[2:] > 0).all():
                raise InputError(
                    f"annotation {annotation.get('id')} in {path} has bbox {annotation['bbox']}, expected left, top, "
                    "width and height above 0"
                )
            found.append((names[annotation["image_id"]], box))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"box file {path} has another form ({type(error).__name__}: {error})") from None
    if not found:
        raise InputError(f"box file {path} has no annotation; expected a box for each person")
    about = content.get("info")
    return BoxFile(found, isinstance(about, dict) and about.get("upright") is True)


class BoxedPeople(UnlabelledDataset):
    """People in a folder of pictures, where an annotation file has a box for them.

    Args:
        root: folder that the file names of the annotations are relative to.
        boxes: COCO annotation file with ``bbox``; anything else in it is not read.
        margin: what is shown is this many times the box.
        cache: keep decoded pictures in memory.
        only: file name of the one picture that is used; all where not given.
    """

    def __init__(self, root: str, boxes: str, margin: float = 1.25, cache: bool = False, only: str | None = None):
        self.root = Path(root)
        self.boxes = Path(boxes)
        self.margin = margin
        self.cache = cache
        self.only = only

    @cached_property
    def _file(self) -> BoxFile:
        return read_boxes(self.boxes)

    @cached_property
    def people(self) -> list[tuple[str, np.ndarray]]:
        """File name and box of each person, read on first use; those of one picture come one after the other.

        Raises:
            InputError: the file cannot be read, or has nobody in the picture that is used.
        """
        found = [person for person in self._file.people if self.only in (None, person[0])]
        if not found:
            raise InputError(f"box file {self.boxes} has no box for {self.only}")
        place = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in found))}
        return sorted(found, key=lambda person: place[person[0]])

    def prepare(self) -> None:
        path = self.root / self.people[0][0]
        if not path.is_file():
            raise InputError(f"image {path}, named in {self.boxes}, does not exist; expected file names below the root")

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> UnlabelledSample:
        name, tight = self.people[index]
        box = padded_box(tight, self.margin).astype(np.float32)
        path = self.root / name
        self.upright = self._file.upright
        image, reduction = self.decode(path, box)
        return UnlabelledSample(image, box_px=box / reduction, name=f"{path}#{index}", reduction=reduction)


class BoxedFrames(UnlabelledDataset):
    """People in a video, where an annotation file has a box for them; each frame is an image ``VIDEO#NUMBER`` in it.

    Args:
        path: the video file.
        boxes: COCO annotation file with ``bbox``; a file name is the video's, # and the number of a frame, 0 the first.
            Those of other videos are left out.
        every: use frames 0, every, 2·every, … of those in the file.
        margin: what is shown is this many times the box.
    """

    def __init__(self, path: str, boxes: str, every: int = 1, margin: float = 1.25):
        if every < 1:
            raise InputError(f"every of BoxedFrames is {every}, expected at least 1")
        self.path = Path(path)
        self.boxes = Path(boxes)
        self.every = every
        self.margin = margin
        self._decoder = VideoDecoder()

    @cached_property
    def people(self) -> list[tuple[int, np.ndarray]]:
        """Number of the frame and box of each person, by frame; read on first use.

        Raises:
            InputError: the file cannot be read, names something else than frames, or no frame that is used.
        """
        found, others = [], set()
        for name, box in read_boxes(self.boxes).people:
            video, _, number = name.rpartition("#")
            if not video or not number.isdigit():
                raise InputError(
                    f"box file {self.boxes} has boxes for {name}; expected frames of {self.path.name}, such as "
                    f"{self.path.name}#0 for the first one"
                )
            if Path(video).name != self.path.name:
                others.add(Path(video).name)
            elif int(number) % self.every == 0:
                found.append((int(number), box))
        if not found:
            frames = f" in every {self.every}th frame" if self.every > 1 else ""
            but = f", but for {', '.join(sorted(others)[:3])}" if others else ""
            raise InputError(f"box file {self.boxes} has no box for {self.path.name}{frames}{but}")
        return sorted(found, key=lambda person: person[0])

    @cached_property
    def times_ms(self) -> Float[np.ndarray, " frame"]:
        """When each frame of the file is shown, found on first use."""
        return frame_times(self.path)

    @property
    def rate(self) -> float:
        """Frames per second, from one with people to the next."""
        numbers = np.unique([number for number, _ in self.people])
        step = int(np.median(np.diff(numbers))) if len(numbers) > 1 else 1
        return frame_rate(self.times_ms[::step])

    def prepare(self) -> None:
        last, count = self.people[-1][0], len(self.times_ms)
        if last >= count:
            raise InputError(f"box file {self.boxes} has boxes for frame {last} of {self.path}, which has {count}")

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> UnlabelledSample:
        number, tight = self.people[index]
        image = self._decoder.frame(self.path, number, self.times_ms)
        box = padded_box(tight, self.margin).astype(np.float32)
        return UnlabelledSample(image=image, box_px=box, name=f"{self.path}#{number}#{index}")

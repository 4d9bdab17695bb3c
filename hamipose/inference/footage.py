"""What a user points to – a picture, a folder, a video, a webcam – as people to look at, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.data.base import UnlabeledDataset
from hamipose.data.datasets.footage.boxes import ImagePersonCrops, VideoPersonCrops
from hamipose.data.datasets.footage.images import ImageFolder, SingleImage
from hamipose.data.datasets.footage.video import Video
from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.io.image_file import UnreadableImage
from hamipose.io.media_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, unsupported_reason
from hamipose.types import UnlabeledSample

__all__ = ["Footage", "open_footage"]


@dataclass
class Footage:
    """People in pictures.

    Attributes:
        samples: one by one; a sample's name is a path, or path#frame in a video; #person follows where boxes are given.
        count: how many pictures there are; None where that is not known beforehand.
        moving: whether the pictures are frames of a video.
        unreadable: a line for each kind of picture left out because it is not supported, for frames that a video lacks,
            and for each picture that could not be read; the latter are added while samples are taken.
        rate: frames per second, of a video.
        again: gives the samples once more, from the first on; None for a webcam.
    """

    samples: Iterator[UnlabeledSample]
    count: int | None
    moving: bool
    unreadable: list[str]
    rate: float = 25.0
    again: Callable[[], Iterator[UnlabeledSample]] | None = None


def _whole(image: UInt8[np.ndarray, "height width 3"], name: str) -> UnlabeledSample:
    return UnlabeledSample(image=image, box_px=whole_image_box(image.shape[1], image.shape[0]), name=name)


def _readable(dataset: UnlabeledDataset, unreadable: list[str]) -> Iterator[UnlabeledSample]:
    for index in range(len(dataset)):
        try:
            yield dataset[index]
        except UnreadableImage as error:
            unreadable.append(str(error))


def _webcam(number: int) -> Iterator[UnlabeledSample]:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise UserError(f"webcam {number} cannot be opened; check that there is one and that no other program uses it")
    try:
        shown = 0
        while (frame := capture.read()[1]) is not None:
            yield _whole(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), f"webcam:{number}#{shown}")
            shown += 1
    finally:
        capture.release()


def open_footage(
    source: str, *, boxes: str | None = None, frame_stride: int = 1, limit: int | None = None, whole: bool = False
) -> Footage:
    """People in what `source` names.

    Args:
        source: a picture, a folder of pictures (less those that `predict` has drawn), a video file, or ``webcam``
            (``webcam:1`` for the second one).
        boxes: COCO annotation file with a box for each person: of a folder, with file names below it; of a video, with
            VIDEO#0, VIDEO#1 … for its frames; of a picture, with its name. Without it, one person is looked for in the
            whole picture.
        frame_stride: use every n-th picture or frame; where boxes are given for pictures, every n-th person.
        limit: stop after this many of them.
        whole: also show pictures of the file of boxes in which it has no person, each as a whole.

    Raises:
        UserError: there is no such thing, boxes are given for a webcam, or `frame_stride` or `limit` is below 1.
    """
    for name, value in (("frame_stride", frame_stride), ("limit", limit)):
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}, expected at least 1")
    unreadable: list[str] = []
    path = Path(source)
    moving, count, rate = False, None, 25.0
    samples: Iterator[UnlabeledSample]
    again: Callable[[], Iterator[UnlabeledSample]] | None = None
    if source == "webcam" or source.startswith("webcam:"):
        number = source.partition(":")[2] or "0"
        if not number.isdigit():
            raise UserError(f"input is {source!r}, expected webcam or webcam:NUMBER")
        if boxes is not None:
            raise UserError(f"boxes are given for {source}, whose pictures are not known yet; give --detector instead")
        moving, samples = True, islice(_webcam(int(number)), 0, None, frame_stride)
    else:
        dataset: UnlabeledDataset
        if path.is_dir():
            dataset = ImageFolder(source) if boxes is None else ImagePersonCrops(source, boxes, whole=whole)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            moving = True
            dataset = (
                Video(source, frame_stride=frame_stride)
                if boxes is None
                else VideoPersonCrops(source, boxes, frame_stride=frame_stride, whole=whole)
            )
        elif is_image(path):
            boxed = boxes is not None
            dataset = (
                ImagePersonCrops(str(path.parent), str(boxes), only=path.name, whole=whole)
                if boxed
                else SingleImage(path)
            )
        else:
            if path.exists() and (reason := unsupported_reason(path)) is not None:
                raise UserError(f"input {source}: {reason}")
            kind = "does not exist" if not path.exists() else "is neither a picture nor a video"
            raise UserError(
                f"input {source} {kind}; expected a folder of pictures, a picture ({', '.join(IMAGE_SUFFIXES)}), "
                f"a video ({', '.join(VIDEO_SUFFIXES)}) or webcam"
            )
        if not path.exists():
            raise UserError(f"input {source} does not exist; give a picture, a folder of pictures or a video")
        dataset.prepare()
        unreadable += dataset.skipped_messages()
        if isinstance(dataset, Video | VideoPersonCrops):
            rate = dataset.rate
        step = 1 if moving else frame_stride

        def again() -> Iterator[UnlabeledSample]:
            return islice(_readable(dataset, []), 0, None if limit is None else limit * step, step)

        samples = islice(_readable(dataset, unreadable), 0, None, step)
        count = -(-len(dataset) // step)
    if limit is not None:
        samples, count = islice(samples, limit), limit if count is None else min(count, limit)
    return Footage(samples, count, moving, unreadable, rate, again)

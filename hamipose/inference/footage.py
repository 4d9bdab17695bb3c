"""Open a user's input: an image, a folder of images, a video or a webcam, as a stream of people."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.data.base import UnlabeledDataset
from hamipose.data.datasets.footage.images import ImageFolder, SingleImage
from hamipose.data.datasets.footage.person_crops import ImagePersonCrops, VideoPersonCrops
from hamipose.data.datasets.footage.video import Video
from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.io.image_file import UnreadableImage
from hamipose.io.media_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, unsupported_reason
from hamipose.types import UnlabeledSample

__all__ = ["Footage", "open_footage"]


@dataclass
class Footage:
    """People in images or frames.

    Attributes:
        samples: iterates over the people. A sample's name is a path, or path#frame in a video; #person follows if boxes
            are given.
        count: number of images; None if unknown.
        is_video: whether the images are frames of a video.
        unreadable: a line per unsupported image format, for missing frames of a video, and per unreadable image; the
            latter are added while samples are read.
        rate: frames per second of a video.
        reopen: returns the samples again from the start; None for a webcam.
    """

    samples: Iterator[UnlabeledSample]
    count: int | None
    is_video: bool
    unreadable: list[str]
    rate: float = 25.0
    reopen: Callable[[], Iterator[UnlabeledSample]] | None = None


def _whole_image(image: UInt8[np.ndarray, "height width 3"], name: str) -> UnlabeledSample:
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
        raise UserError(
            f"webcam {number} cannot be opened; check that it is connected and that no other program uses it"
        )
    try:
        count = 0
        while (frame := capture.read()[1]) is not None:
            yield _whole_image(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), f"webcam:{number}#{count}")
            count += 1
    finally:
        capture.release()


def _open_dataset(source: str, boxes: str | None, frame_stride: int, whole_images: bool) -> UnlabeledDataset:
    """Return the data set of a path, not yet prepared.

    Raises:
        UserError: the path does not exist, or is neither an image, a folder nor a video.
    """
    path = Path(source)
    if path.is_dir():
        return ImageFolder(source) if boxes is None else ImagePersonCrops(source, boxes, whole_images=whole_images)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        if boxes is None:
            return Video(source, frame_stride=frame_stride)
        return VideoPersonCrops(source, boxes, frame_stride=frame_stride, whole_images=whole_images)
    if is_image(path):
        if boxes is None:
            return SingleImage(path)
        return ImagePersonCrops(str(path.parent), boxes, only=path.name, whole_images=whole_images)
    if path.exists() and (reason := unsupported_reason(path)) is not None:
        raise UserError(f"input {source}: {reason}")
    kind = "does not exist" if not path.exists() else "is neither an image nor a video"
    raise UserError(
        f"input {source} {kind}; expected a folder of images, an image ({', '.join(IMAGE_SUFFIXES)}), "
        f"a video ({', '.join(VIDEO_SUFFIXES)}) or webcam"
    )


def open_footage(
    source: str,
    *,
    boxes: str | None = None,
    frame_stride: int = 1,
    limit: int | None = None,
    whole_images: bool = False,
) -> Footage:
    """Open the people in an image, a folder, a video or a webcam.

    Args:
        source: an image, a folder of images (images drawn by `predict` are skipped), a video file, or ``webcam``
            (``webcam:1`` for the second one).
        boxes: COCO annotation file with a box per person. File names are relative to a folder, VIDEO#0, VIDEO#1 … for
            frames of a video, or the name of an image. Default: each whole image is one person.
        frame_stride: use every n-th image or frame; with boxes for images, every n-th person.
        limit: maximum number of images (or people).
        whole_images: use images of the box file without people as whole images instead of skipping them.

    Raises:
        UserError: the source does not exist, boxes are given for a webcam, or `frame_stride` or `limit` is below 1.
    """
    for name, value in (("frame_stride", frame_stride), ("limit", limit)):
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}, expected at least 1")
    unreadable: list[str] = []
    is_video, count, rate = False, None, 25.0
    samples: Iterator[UnlabeledSample]
    reopen: Callable[[], Iterator[UnlabeledSample]] | None = None
    if source == "webcam" or source.startswith("webcam:"):
        number = source.partition(":")[2] or "0"
        if not number.isdigit():
            raise UserError(f"input is {source!r}, expected webcam or webcam:NUMBER")
        if boxes is not None:
            raise UserError(f"boxes are given for {source}, whose images are not known in advance; give --detector")
        is_video, samples = True, islice(_webcam(int(number)), 0, None, frame_stride)
    else:
        dataset = _open_dataset(source, boxes, frame_stride, whole_images)
        if not Path(source).exists():
            raise UserError(f"input {source} does not exist; give an image, a folder of images or a video")
        dataset.prepare()
        unreadable += dataset.skipped_messages()
        if isinstance(dataset, Video | VideoPersonCrops):
            is_video, rate = True, dataset.rate
        step = 1 if is_video else frame_stride

        def reopen() -> Iterator[UnlabeledSample]:
            return islice(_readable(dataset, []), 0, None if limit is None else limit * step, step)

        samples = islice(_readable(dataset, unreadable), 0, None, step)
        count = -(-len(dataset) // step)
    if limit is not None:
        samples, count = islice(samples, limit), limit if count is None else min(count, limit)
    return Footage(samples, count, is_video, unreadable, rate, reopen)

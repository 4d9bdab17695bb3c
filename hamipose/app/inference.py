"""What a model finds in a photo or a clip: drawn, and as rows of a table. Nothing here knows of a page."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from hamipose.errors import UserError
from hamipose.inference.detection import DetectedPeople
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import PosePrediction, Predictor
from hamipose.io.coco_writer import image_name
from hamipose.io.video import VideoWriter
from hamipose.models.person_detection import PersonDetector
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabeledSample
from hamipose.viz.drawing import draw_keypoints

__all__ = ["Found", "Row", "compare", "look_at", "picture_rows"]

#: Keypoint, x and y in pixels of the picture, confidence.
Row = tuple[str, float, float, float]


@dataclass(frozen=True)
class Found:
    """What one model finds in what it was shown.

    Attributes:
        picture: the photo with its keypoints drawn; of a clip, its first frame.
        clip: the clip with keypoints drawn, a WebM file; None of a photo.
        rows: a line for each keypoint of each person; of a clip, means over all people in its frames.
        frames: how many pictures were looked at.
        people: how many people were found, in all pictures together.
        more: whether the clip goes on after them.
    """

    picture: UInt8[np.ndarray, "height width 3"]
    clip: Path | None
    rows: list[Row]
    frames: int
    people: int
    more: bool


def picture_rows(
    keypoints_px: Float[np.ndarray, "keypoint 2"], confidence: Float[np.ndarray, " keypoint"], skeleton: Skeleton
) -> list[Row]:
    """A line for each keypoint, in the skeleton's order."""
    return [
        (name, round(float(x), 1), round(float(y), 1), round(float(sure), 3))
        for name, (x, y), sure in zip(skeleton.keypoints, keypoints_px, confidence, strict=True)
    ]


def _photo_rows(people: list[PosePrediction], skeleton: Skeleton) -> list[Row]:
    """Rows of all people; the keypoints of several have the person's number behind their names."""
    rows: list[Row] = []
    for number, person in enumerate(people, 1):
        suffix = f" ({number})" if len(people) > 1 else ""
        own = picture_rows(person.keypoints_px, person.confidence, skeleton)
        rows += [(name + suffix, x, y, sure) for name, x, y, sure in own]
    return rows


def _mean_rows(people: list[PosePrediction], skeleton: Skeleton) -> list[Row]:
    points_px = np.stack([p.keypoints_px for p in people]).mean(0)
    return picture_rows(points_px, np.stack([p.confidence for p in people]).mean(0), skeleton)


def _samples(path: Path, limit: int) -> tuple[Iterator[UnlabeledSample], bool, float, bool, list[str]]:
    if path.is_dir():
        raise UserError(f"{path.name} is a folder; give one photo or one clip")
    footage = open_footage(str(path))
    more = footage.count is not None and footage.count > limit
    return islice(footage.samples, limit), footage.is_video, footage.rate, more, footage.unreadable


def look_at(
    model: Predictor,
    path: Path,
    folder: Path,
    *,
    detector: PersonDetector | None = None,
    min_confidence: float = 0.1,
    limit: int = 300,
) -> Found:
    """Show a photo or a clip to a model.

    Args:
        model: what looks.
        path: a picture or a video file.
        folder: where the drawn clip goes.
        detector: finds the people; in pictures where it finds none, and without it, one person is looked for in the
            whole picture.
        min_confidence: keypoints with less confidence are not drawn; they are in the rows all the same.
        limit: of a clip, look at this many frames.

    Raises:
        UserError: the file is neither, or is damaged; the message names the file without its folder.
    """
    try:
        samples, moving, rate, more, unreadable = _samples(path, limit)
        clip = VideoWriter(folder / f"{path.stem}.webm", rate) if moving else None
        people: list[PosePrediction] = []
        frames, first = 0, None
        with clip or nullcontext():
            # a few at a time: the frames are drawn after the network has seen them, and a clip may be long
            while batch := list(islice(samples, 16)):
                shown = batch if detector is None else DetectedPeople(batch, detector, turned=model.needs_upright_crops, whole=True)
                found = list(model.stream(shown))
                people += found
                of_picture: dict[str, list[PosePrediction]] = {}
                for person in found:
                    of_picture.setdefault(person.name if detector is None else image_name(person.name), []).append(
                        person
                    )
                for sample in batch:
                    drawn = sample.image
                    for person in of_picture[sample.name]:
                        drawn = draw_keypoints(
                            drawn, person.keypoints_px, model.skeleton, person.confidence >= min_confidence
                        )
                    first = drawn if first is None else first
                    if clip is not None:
                        clip.add(drawn)
                frames += len(batch)
        if first is None:
            raise UserError(unreadable[0] if unreadable else f"{path} holds no picture; give another file")
    except UserError as error:  # the folder is one of the page's, of which its user knows nothing
        raise UserError(str(error).replace(f"{path.parent}/", "")) from None
    rows = _mean_rows(people, model.skeleton) if moving else _photo_rows(people, model.skeleton)
    return Found(first, clip.path if clip else None, rows, frames, len(people), more)


def compare(one: list[Row], other: list[Row]) -> list[tuple[str, float, float, float]]:
    """Of keypoints that both have: name, confidence of one and of the other, how far apart they are in pixels."""
    others = {row[0]: row for row in other}
    return [
        (name, sure, others[name][3], round(float(np.hypot(x - others[name][1], y - others[name][2])), 1))
        for name, x, y, sure in one
        if name in others
    ]

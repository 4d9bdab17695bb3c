"""Run a model on a photo or a clip: draw the keypoints and tabulate them, independently of the web page."""

from collections.abc import Iterable, Iterator
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

__all__ = ["InferenceResult", "Row", "compare_rows", "run_model"]

#: Keypoint, x and y in pixels of the image, confidence.
Row = tuple[str, float, float, float]


@dataclass(frozen=True)
class InferenceResult:
    """Result of one model on a photo or a clip.

    Attributes:
        image: the photo, or the first frame of a clip, with drawn keypoints.
        clip: the clip with drawn keypoints, a WebM file; None for a photo.
        rows: a row per keypoint of each person; for a clip, means over all people in its frames.
        frames: number of processed images.
        people: number of people in all images.
        more: whether the clip has more frames.
    """

    image: UInt8[np.ndarray, "height width 3"]
    clip: Path | None
    rows: list[Row]
    frames: int
    people: int
    more: bool


def _keypoint_rows(
    keypoints_px: Float[np.ndarray, "keypoint 2"], confidence: Float[np.ndarray, " keypoint"], skeleton: Skeleton
) -> list[Row]:
    """Return a row per keypoint, in the skeleton's order."""
    return [
        (name, round(float(x), 1), round(float(y), 1), round(float(score), 3))
        for name, (x, y), score in zip(skeleton.keypoints, keypoints_px, confidence, strict=True)
    ]


def _photo_rows(people: list[PosePrediction], skeleton: Skeleton) -> list[Row]:
    """Return the rows of all people; if there are several, the person's number follows the keypoint's name."""
    rows: list[Row] = []
    for number, person in enumerate(people, 1):
        suffix = f" ({number})" if len(people) > 1 else ""
        own = _keypoint_rows(person.keypoints_px, person.confidence, skeleton)
        rows += [(name + suffix, x, y, score) for name, x, y, score in own]
    return rows


def _mean_rows(people: list[PosePrediction], skeleton: Skeleton) -> list[Row]:
    points_px = np.stack([p.keypoints_px for p in people]).mean(0)
    return _keypoint_rows(points_px, np.stack([p.confidence for p in people]).mean(0), skeleton)


def _open(path: Path, limit: int) -> tuple[Iterator[UnlabeledSample], bool, float, bool, list[str]]:
    """Return the samples of a file, whether it is a video, its frame rate, whether it has more frames, and errors."""
    if path.is_dir():
        raise UserError(f"{path.name} is a folder; give one photo or one clip")
    footage = open_footage(str(path))
    more = footage.count is not None and footage.count > limit
    return islice(footage.samples, limit), footage.is_video, footage.rate, more, footage.unreadable


def run_model(
    model: Predictor,
    path: Path,
    folder: Path,
    *,
    detector: PersonDetector | None = None,
    min_confidence: float = 0.1,
    limit: int = 300,
) -> InferenceResult:
    """Run a model on a photo or a clip.

    Args:
        model: the model.
        path: an image or a video file.
        folder: output folder for the drawn clip.
        detector: person detector; without it, and for images without a detected person, the whole image is one person.
        min_confidence: keypoints of lower confidence are not drawn; the rows contain them.
        limit: maximum number of frames of a clip.

    Raises:
        UserError: the file is neither, or is damaged; the message contains the file name without its folder.
    """
    try:
        samples, is_video, rate, more, unreadable = _open(path, limit)
        clip = VideoWriter(folder / f"{path.stem}.webm", rate) if is_video else None
        people: list[PosePrediction] = []
        frames, first = 0, None
        with clip or nullcontext():
            # In small batches: frames are drawn after the prediction, and a clip may be long.
            while batch := list(islice(samples, 16)):
                crops: Iterable[UnlabeledSample] = batch
                if detector is not None:
                    crops = DetectedPeople(batch, detector, upright_crops=model.needs_upright_crops, whole_images=True)
                predictions = list(model.stream(crops))
                people += predictions
                by_image: dict[str, list[PosePrediction]] = {}
                for person in predictions:
                    name = person.name if detector is None else image_name(person.name)
                    by_image.setdefault(name, []).append(person)
                for sample in batch:
                    drawn = sample.image
                    for person in by_image[sample.name]:
                        drawn = draw_keypoints(
                            drawn, person.keypoints_px, model.skeleton, person.confidence >= min_confidence
                        )
                    first = drawn if first is None else first
                    if clip is not None:
                        clip.add(drawn)
                frames += len(batch)
        if first is None:
            raise UserError(unreadable[0] if unreadable else f"{path} contains no image; give another file")
    except UserError as error:  # hide the server's folders from the user
        raise UserError(str(error).replace(f"{path.parent}/", "")) from None
    rows = _mean_rows(people, model.skeleton) if is_video else _photo_rows(people, model.skeleton)
    return InferenceResult(first, clip.path if clip else None, rows, frames, len(people), more)


def compare_rows(one: list[Row], other: list[Row]) -> list[tuple[str, float, float, float]]:
    """Compare two models' rows of the same photo.

    Returns:
        For each common keypoint: name, confidence of each model, and distance in pixels.
    """
    others = {row[0]: row for row in other}
    return [
        (name, score, others[name][3], round(float(np.hypot(x - others[name][1], y - others[name][2])), 1))
        for name, x, y, score in one
        if name in others
    ]

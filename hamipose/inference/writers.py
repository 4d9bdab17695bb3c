"""Write predictions: COCO keypoints, a CSV table, heatmaps, and images or a video with drawn skeletons."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.inference.predictor import PosePrediction
from hamipose.io.atomic_file import atomic_path, write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco, image_name
from hamipose.io.image_file import write_image
from hamipose.io.image_folder import overlay_path
from hamipose.io.video import VideoWriter
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabeledSample
from hamipose.viz.drawing import draw_keypoints

__all__ = ["OverlayWriter", "write_coco", "write_csv", "write_heatmaps"]


def write_coco(path: Path, predictions: Sequence[PosePrediction], skeleton: Skeleton) -> None:
    """Write an annotation file in COCO keypoint format, see `hamipose.io.coco_writer`; images are upright."""
    people = [
        PredictedPerson(p.name, p.keypoints_px.tolist(), p.confidence.tolist(), p.region_px.tolist(), p.size_px)
        for p in predictions
    ]
    write_text(path, json.dumps(build_coco(people, skeleton, upright=True)) + "\n")


def write_csv(path: Path, predictions: Sequence[PosePrediction], skeleton: Skeleton) -> None:
    """Write a table with a row per keypoint: image, keypoint, x and y in pixels of the image, confidence."""
    with atomic_path(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "keypoint", "x_px", "y_px", "confidence"))
        for person in predictions:
            for name, (x, y), confidence in zip(
                skeleton.keypoints, person.keypoints_px, person.confidence, strict=True
            ):
                rows.writerow((person.name, name, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}"))


def write_heatmaps(folder: Path, number: int, heatmaps: np.ndarray) -> None:
    """Write a person's heatmaps in half precision as an .npy file, named by the person's number."""
    with atomic_path(folder / f"{number:06d}.npy") as beside:
        np.save(beside, heatmaps.astype(np.float16))


class OverlayWriter:
    """Writes images with drawn skeletons, one file per image or one video of all images.

    This is a context manager: leaving it writes the last image.

    Args:
        folder: folder in which ``overlays/`` or ``overlay.mp4`` is written.
        skeleton: skeleton to draw.
        rate: frames per second of a video; None writes images.
        min_confidence: keypoints of lower confidence are not drawn.

    Attributes:
        written: number of images or frames written.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, rate: float | None = None, min_confidence: float = 0.1):
        self.folder = folder
        self.skeleton = skeleton
        self.rate = rate
        self.min_confidence = min_confidence
        self.written = 0
        self._name: str | None = None
        self._canvas: UInt8[np.ndarray, "height width 3"] | None = None
        self._video = None if rate is None else VideoWriter(folder / "overlay.mp4", rate)

    def __enter__(self) -> "OverlayWriter":
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        if self._video is not None:
            self._video.__exit__(*error)

    def add_all(self, samples: Iterable[UnlabeledSample], predictions: Iterable[PosePrediction]) -> None:
        """Draw people whose keypoints are already predicted on samples that are read again.

        Args:
            samples: one sample per person with the person's name, or one per image, on which all its people are drawn.
            predictions: the people.
        """
        people: dict[str, PosePrediction] = {}
        by_image: dict[str, list[PosePrediction]] = {}
        for person in predictions:
            people[person.name] = person
            by_image.setdefault(image_name(person.name), []).append(person)
        for sample in samples:
            own = people.pop(sample.name, None)
            for person in by_image.pop(sample.name, []) if own is None else [own]:
                self.add(sample, person)

    def add(self, sample: UnlabeledSample, person: PosePrediction) -> None:
        """Draw one person; the people of an image must be added in succession."""
        name = image_name(person.name)
        if name != self._name:
            self._flush()
            self._name, self._canvas = name, sample.image
        assert self._canvas is not None
        drawn = person.confidence >= self.min_confidence
        self._canvas = draw_keypoints(self._canvas, person.keypoints_px, self.skeleton, drawn)

    def _flush(self) -> None:
        if self._canvas is None or self._name is None:
            return
        if self._video is not None:
            self._video.add(self._canvas)
        else:
            write_image(self.folder / overlay_path(self.written, self._name), self._canvas)
        self.written += 1
        self._canvas = None

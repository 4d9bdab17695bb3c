"""Files of what was found: COCO keypoints, a table, images or a video with skeletons, heatmaps; each appears whole."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.inference.predictor import Prediction
from hamipose.io.atomic_file import atomic_path, write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco, image_name
from hamipose.io.image_file import write_image
from hamipose.io.overlay_paths import overlay_path
from hamipose.io.video_writer import VideoWriter
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabeledSample
from hamipose.viz.drawing import draw_keypoints

__all__ = ["Overlays", "write_coco", "write_csv", "write_heatmaps"]


def write_coco(path: Path, found: Sequence[Prediction], skeleton: Skeleton) -> None:
    """Write an annotation file in COCO keypoint format, see `hamipose.io.coco_writer`; pictures are upright."""
    people = [
        PredictedPerson(p.name, p.keypoints_px.tolist(), p.confidence.tolist(), p.region_px.tolist(), p.size_px)
        for p in found
    ]
    write_text(path, json.dumps(build_coco(people, skeleton, upright=True)) + "\n")


def write_csv(path: Path, found: Sequence[Prediction], skeleton: Skeleton) -> None:
    """As a table with a row for each keypoint: picture, keypoint, x and y in its pixels, confidence."""
    with atomic_path(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "keypoint", "x_px", "y_px", "confidence"))
        for person in found:
            for name, (x, y), sure in zip(skeleton.keypoints, person.keypoints_px, person.confidence, strict=True):
                rows.writerow((person.name, name, f"{x:.2f}", f"{y:.2f}", f"{sure:.4f}"))


def write_heatmaps(folder: Path, number: int, heatmaps: np.ndarray) -> None:
    """Write a person's heatmaps in half precision as an .npy file whose name is the person's number."""
    with atomic_path(folder / f"{number:06d}.npy") as beside:
        np.save(beside, heatmaps.astype(np.float16))


class Overlays:
    """Pictures with skeletons, one file a picture, or one video of them all. A context: leaving it writes the last one.

    Args:
        folder: where ``overlays/`` or ``overlay.mp4`` goes.
        skeleton: what is drawn.
        rate: frames per second of a video; None writes pictures.
        min_confidence: keypoints with less confidence are left out.
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

    def __enter__(self) -> "Overlays":
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        if self._video is not None:
            self._video.__exit__(*error)

    def add_found(self, samples: Iterable[UnlabeledSample], found: Iterable[Prediction]) -> None:
        """Draw people that were found before, on samples that are read again.

        Args:
            samples: one per person, of the person's name, or one per picture, on which all its people are drawn.
            found: the people.
        """
        people: dict[str, Prediction] = {}
        pictures: dict[str, list[Prediction]] = {}
        for person in found:
            people[person.name] = person
            pictures.setdefault(image_name(person.name), []).append(person)
        for sample in samples:
            own = people.pop(sample.name, None)
            for person in pictures.pop(sample.name, []) if own is None else [own]:
                self.add(sample, person)

    def add(self, sample: UnlabeledSample, person: Prediction) -> None:
        """Draw one person; people of one picture come one after the other."""
        picture = image_name(person.name)
        if picture != self._name:
            self._flush()
            self._name, self._canvas = picture, sample.image
        assert self._canvas is not None
        shown = person.confidence >= self.min_confidence
        self._canvas = draw_keypoints(self._canvas, person.keypoints_px, self.skeleton, shown)

    def _flush(self) -> None:
        if self._canvas is None or self._name is None:
            return
        if self._video is not None:
            self._video.add(self._canvas)
        else:
            write_image(self.folder / overlay_path(self.written, self._name), self._canvas)
        self.written += 1
        self._canvas = None

"""What was found, as files: COCO keypoints, a table, pictures or a video with skeletons, heatmaps."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.data.coco_results import FoundPerson, coco_content, picture_name
from hamipose.data.drawn import drawn_path
from hamipose.data.video_file import VideoFile
from hamipose.draw import draw_keypoints
from hamipose.errors import InputError
from hamipose.inference.predictor import Prediction
from hamipose.skeletons import Skeleton
from hamipose.types import UnlabelledSample

__all__ = ["Overlays", "write_coco", "write_csv"]


def write_coco(path: Path, found: Sequence[Prediction], skeleton: Skeleton) -> None:
    """Write an annotation file in COCO keypoint format, see `hamipose.data.coco_results`; pictures are upright."""
    people = [
        FoundPerson(p.name, p.keypoints_px.tolist(), p.confidence.tolist(), p.region_px.tolist(), p.size_px)
        for p in found
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_content(people, skeleton, upright=True)) + "\n")


def write_csv(path: Path, found: Sequence[Prediction], skeleton: Skeleton) -> None:
    """As a table with a row for each keypoint: picture, keypoint, x and y in its pixels, confidence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "keypoint", "x_px", "y_px", "confidence"))
        for person in found:
            for name, (x, y), sure in zip(skeleton.keypoints, person.keypoints_px, person.confidence, strict=True):
                rows.writerow((person.name, name, f"{x:.2f}", f"{y:.2f}", f"{sure:.4f}"))


class Overlays:
    """Pictures with skeletons, one file a picture, or one video of them all. A context: leaving it writes the last one.

    Args:
        folder: where ``overlays/`` or ``overlay.mp4`` goes.
        skeleton: what is drawn.
        rate: frames per second of a video; None writes pictures.
        least: keypoints with less confidence are left out.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, rate: float | None = None, least: float = 0.1):
        self.folder = folder
        self.skeleton = skeleton
        self.rate = rate
        self.least = least
        self.written = 0
        self._name: str | None = None
        self._canvas: UInt8[np.ndarray, "height width 3"] | None = None
        self._video = None if rate is None else VideoFile(folder / "overlay.mp4", rate)

    def __enter__(self) -> "Overlays":
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        if self._video is not None:
            self._video.__exit__(*error)

    def add(self, sample: UnlabelledSample, person: Prediction) -> None:
        """Draw one person; people of one picture come one after the other."""
        picture = picture_name(sample.name)
        if picture != self._name:
            self._flush()
            self._name, self._canvas = picture, sample.image
        assert self._canvas is not None
        shown = person.confidence >= self.least
        self._canvas = draw_keypoints(self._canvas, person.keypoints_px, self.skeleton, shown)

    def _flush(self) -> None:
        if self._canvas is None or self._name is None:
            return
        if self._video is not None:
            self._video.add(self._canvas)
        else:
            path = self.folder / drawn_path(self.written, self._name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), cv2.cvtColor(self._canvas, cv2.COLOR_RGB2BGR)):
                raise InputError(f"{path} cannot be written; check the folder and the free space")
        self.written += 1
        self._canvas = None

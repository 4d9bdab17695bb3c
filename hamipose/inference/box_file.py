"""Detect the people of images or a video once and keep their boxes in a COCO file; interrupted calls resume."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.data.datasets.footage.person_crops import coco_box_content
from hamipose.errors import UserError
from hamipose.inference.detection import DetectionSummary
from hamipose.inference.footage import open_footage
from hamipose.io.coco import CocoFile, read_coco
from hamipose.models.person_detection import PersonDetector

__all__ = ["ResultLog", "detect_people", "footage_fingerprint"]

_REUSABLE_IF_EQUAL = ("made_by", "threshold", "footage")  # boxes of another call can be reused if these are equal


class ResultLog:
    """A JSON-lines file with the results of one image per line, so that an interrupted call resumes.

    Args:
        path: the file; its results are kept if it belongs to the same call.
        options: options of the call; must contain `made_by`.

    Attributes:
        known: results by file name.
    """

    def __init__(self, path: Path, options: dict[str, Any]):
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        lines = path.read_text().splitlines() if path.is_file() else []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # the last line of an interrupted call may be incomplete
                continue
            if "made_by" in row and row != options:
                self.known = {}
                break
            if "file_name" in row:
                self.known[row["file_name"]] = row
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")
        for row in (options, *self.known.values()):
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Write the results of one image; `file_name` is its name."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file without removing it."""
        self._file.close()


def footage_fingerprint(source: str, count: int | None) -> int | None:
    """Return a number that changes if images are added to or removed from a folder; the count for other sources."""
    if not Path(source).is_dir():
        return count
    return zlib.crc32("\n".join(str(path) for path in ImageFolder(source).paths).encode())


def _read_earlier(path: Path, options: dict[str, Any], keep: bool) -> CocoFile | None:
    """Return the box file of an earlier call if its boxes can be reused; None otherwise.

    Raises:
        UserError: `path` is another kind of file, or `keep` and it belongs to a different call.
    """
    if not path.is_file():
        return None
    try:
        file = read_coco(path, "box file")
        earlier = {name: file.info[name] for name in _REUSABLE_IF_EQUAL}
    except (UserError, KeyError):
        raise UserError(f"{path} is not a box file written by a detector; move it to another place") from None
    now = {name: options[name] for name in _REUSABLE_IF_EQUAL}
    if earlier == now and file.images is not None:
        return file
    if keep:
        found, requested = (", ".join(f"{k} {v}" for k, v in each.items()) for each in (earlier, now))
        raise UserError(
            f"{path} was made with different options (found {found}; requested {requested}); write to another folder, "
            "or remove the file"
        )
    return None


def _file_name(source: str, name: str) -> str:
    """Return a sample's image name in the box file: relative to the folder, or the name of the image or video."""
    return Path(name).relative_to(source).as_posix() if Path(source).is_dir() else Path(name).name


def detect_people(
    source: str,
    detector: PersonDetector,
    path: Path,
    *,
    frame_stride: int = 1,
    limit: int | None = None,
    keep_existing: bool = False,
    whole_images: bool = False,
    required: bool = True,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> DetectionSummary:
    """Detect people and write their boxes to a COCO file; a repeated call resumes or reuses the file.

    Images that the file contains are not processed again; images that no longer exist are dropped.

    Args:
        source: a folder of images, an image or a video.
        detector: the detector.
        path: the box file; PATH.part exists beside it until all images are processed.
        frame_stride: use every n-th image or frame.
        limit: stop after this many images.
        keep_existing: raise an error instead of replacing a file of another detector or source.
        whole_images: images without people are used as whole images later; only changes the summary's text.
        required: raise an error if no person is found.
        progress: called with the numbers of processed and of all images.

    Raises:
        UserError: no image can be read, `path` is another kind of file, or no person is found and `required`.
    """
    footage = open_footage(source, frame_stride=frame_stride, limit=limit)
    options = {
        "made_by": detector.name,
        "threshold": detector.threshold,
        "upright": True,
        "footage": str(Path(source).resolve()),
        "frame_stride": frame_stride,
        "limit": limit,
        "images": footage_fingerprint(source, footage.count),
    }
    earlier = _read_earlier(path, options, keep_existing)
    sizes: dict[str, tuple[int, int]] = {}
    people: dict[str, list[list[float]]] = {}
    if earlier is not None:
        sizes = {image.file_name: image.size for image in (earlier.images or {}).values() if image.size is not None}
        people = {name: [] for name in sizes}
        for person in earlier.people_with_boxes():
            if person.image is not None and person.image.file_name in people and person.box_px is not None:
                people[person.image.file_name].append([*person.box_px.tolist(), person.score or 1.0])
        earlier.skipped.warn()
    summary = DetectionSummary(whole_images=whole_images)
    if earlier is None or earlier.info != options:
        log = ResultLog(path.with_name(path.name + ".part"), {k: options[k] for k in _REUSABLE_IF_EQUAL})
        log.known.update({n: {"width": w, "height": h, "people": people[n]} for n, (w, h) in sizes.items()})
        sizes, people = {}, {}
        try:
            for done, sample in enumerate(footage.samples, 1):
                name = _file_name(source, sample.name)
                row = log.known.get(name)
                if row is None:
                    height, width = sample.image.shape[:2]
                    boxes = np.round(detector(sample.image).astype(float), 4).tolist()
                    row = {"file_name": name, "width": width, "height": height, "people": boxes}
                    log.add(row)
                sizes[name], people[name] = (row["width"], row["height"]), row["people"]
                progress(done, footage.count)
        finally:
            log.close()
        summary.unreadable = footage.unreadable
        part = path.with_name(path.name + ".new")
        part.write_text(json.dumps(coco_box_content(sizes, people, options)) + "\n")
        part.replace(path)
        log.path.unlink()
    for name in sizes:
        summary.count(len(people[name]))
    if not summary.images:
        raise UserError(f"no image in {source} can be read; give a folder of images, an image or a video")
    if not summary.people and required:
        raise UserError(
            f"{detector.name} found no person in {summary.images} images of {source}; give another detector, a lower "
            "--detector-threshold, or --boxes"
        )
    return summary

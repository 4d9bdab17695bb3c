"""Finding people in footage once, into a file of boxes that is there the next time; or as a webcam shows them."""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.data.datasets.footage.boxes import coco_box_content
from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.errors import UserError
from hamipose.geometry.crops import padded_box
from hamipose.inference.footage import open_footage
from hamipose.io.coco import CocoFile, read_coco
from hamipose.models.blazepose_detector import blazepose_detector
from hamipose.models.person_detection import PersonDetector, torchvision_detector
from hamipose.models.pretrained.catalog import BLAZEPOSE, DETECTOR, cached
from hamipose.types import UnlabeledSample

__all__ = ["FoundPeople", "LivePeople", "Notes", "find_people", "listing", "open_detector"]

_SAME = ("made_by", "threshold", "footage")  # boxes of two searches that agree in these can be had from either


def open_detector(given: str, threshold: float | None = None, device: str | None = None) -> PersonDetector:
    """What ``--detector`` names.

    Args:
        given: ``blazepose``, MediaPipe's, once `models fetch blazepose` has fetched it; ``torchvision`` or
            ``torchvision:NAME`` (torchvision fetches its weights once); the file of a state dict of one of
            torchvision's detectors; a wheel of mediapipe up to 0.10.21, the .tflite file in it, or the folder that it
            became in the cache.
        threshold: leave out who is found with a lower score; 0.5 where not given.
        device: torch's name of a device; the first GPU if there is one where not given. MediaPipe's runs on processors.

    Raises:
        UserError: there is no such detector, its weights cannot be had, or a package is missing.
    """
    threshold = 0.5 if threshold is None else threshold
    if not 0 < threshold < 1:
        raise UserError(f"the lowest score of a detected person is {threshold:g}, expected a number between 0 and 1")
    if given in (BLAZEPOSE.name, DETECTOR) and not Path(given).exists():
        folder = cached(DETECTOR)
        assert folder is not None, "the catalog has it"
        return blazepose_detector(folder, threshold)
    if Path(given).suffix in (".whl", ".tflite") or (Path(given) / "operations.json").is_file():
        return blazepose_detector(given, threshold)
    return torchvision_detector(given, threshold, device)


@dataclass
class FoundPeople:
    """What became of looking for people in pictures.

    Attributes:
        pictures: looked at,
        empty: of which in so many nobody was found.
        people: found.
        unreadable: pictures that could not be read, one line each.
        whole: pictures where nobody was found are shown as a whole.
    """

    pictures: int = 0
    empty: int = 0
    people: int = 0
    unreadable: list[str] = field(default_factory=list)
    whole: bool = False

    def __str__(self) -> str:
        """One line."""
        line = f"{self.people} people found in {self.pictures} pictures"
        left = "where the whole picture is used" if self.whole else "which are left out"
        return f"{line}; none in {self.empty} of them, {left}" if self.empty else line

    def count(self, people: int) -> None:
        """One picture more."""
        self.pictures += 1
        self.people += people
        self.empty += people == 0


class Notes:
    """Lines of a file, one a picture, so that an interrupted search goes on.

    Args:
        path: the file; kept if it is about the same search.
        about: the search; has `made_by`.
    """

    def __init__(self, path: Path, about: dict[str, Any]):
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        lines = path.read_text().splitlines() if path.is_file() else []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # the last one, cut off
                continue
            if "made_by" in row and row != about:
                self.known = {}
                break
            if "file_name" in row:
                self.known[row["file_name"]] = row
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")
        for row in (about, *self.known.values()):
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Write what was found in one picture, its `file_name`."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, which stays."""
        self._file.close()


def _before(path: Path, about: dict[str, Any], fixed: bool) -> CocoFile | None:
    """Return a file of boxes that an earlier search for the same has left; None where there is none."""
    if not path.is_file():
        return None
    try:
        file = read_coco(path, "box file")
        found = {name: file.info[name] for name in _SAME}
    except (UserError, KeyError):
        raise UserError(f"{path} is not a file of boxes that a detector's search left here; move it away") from None
    asked = {name: about[name] for name in _SAME}
    if found == asked and file.images is not None:
        return file
    if fixed:
        was, now = (", ".join(f"{k} {v}" for k, v in each.items()) for each in (found, asked))
        raise UserError(f"{path} was {was}; asked for is {now}: write to another folder, or remove the file")
    return None


def _file_name(source: str, name: str) -> str:
    """A sample's picture as the file of boxes names it: below a folder, or the name of the picture or video alone."""
    return Path(name).relative_to(source).as_posix() if Path(source).is_dir() else Path(name).name


def listing(source: str, count: int | None) -> int | None:
    """Return a number that changes when pictures are added to a folder or removed."""
    if not Path(source).is_dir():
        return count
    return zlib.crc32("\n".join(str(path) for path in ImageFolder(source).paths).encode())


def find_people(
    source: str,
    detector: PersonDetector,
    path: Path,
    *,
    frame_stride: int = 1,
    limit: int | None = None,
    fixed: bool = False,
    whole: bool = False,
    required: bool = True,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> FoundPeople:
    """Look for people and write a COCO file of boxes; the same call goes on, or finds that all is done.

    Pictures that the file knows are not looked at again, those that it has and the footage has not are dropped.

    Args:
        source: a folder of pictures, a picture or a video.
        detector: what looks.
        path: the file of boxes; PATH.part beside it while the search lasts.
        frame_stride: use every n-th picture or frame.
        limit: stop after this many of them.
        fixed: refuse a file that another detector made, or for other footage; else it is written anew.
        whole: pictures where no person is found will be shown as a whole, as the summary then says.
        required: refuse a search that finds no person at all.
        progress: is told how many pictures were looked at, of how many.

    Raises:
        UserError: nothing can be read, `path` is something else, or no person is found and `required`.
    """
    footage = open_footage(source, frame_stride=frame_stride, limit=limit)
    about = {
        "made_by": detector.name,
        "threshold": detector.threshold,
        "upright": True,
        "footage": str(Path(source).resolve()),
        "frame_stride": frame_stride,
        "limit": limit,
        "pictures": listing(source, footage.count),
    }
    before = _before(path, about, fixed)
    pictures: dict[str, tuple[int, int]] = {}
    people: dict[str, list[list[float]]] = {}
    if before is not None:
        pictures = {image.file_name: image.size for image in (before.images or {}).values() if image.size is not None}
        people = {name: [] for name in pictures}
        for found in before.people_with_boxes():
            if found.image is not None and found.image.file_name in people and found.box_px is not None:
                people[found.image.file_name].append([*found.box_px.tolist(), found.score or 1.0])
        before.omissions.warn()
    summary = FoundPeople(whole=whole)
    if before is None or before.info != about:
        notes = Notes(path.with_name(path.name + ".part"), {k: about[k] for k in _SAME})
        notes.known.update({n: {"width": w, "height": h, "people": people[n]} for n, (w, h) in pictures.items()})
        pictures, people = {}, {}
        try:
            for done, sample in enumerate(footage.samples, 1):
                name = _file_name(source, sample.name)
                row = notes.known.get(name)
                if row is None:
                    height, width = sample.image.shape[:2]
                    boxes = np.round(detector(sample.image).astype(float), 4).tolist()
                    row = {"file_name": name, "width": width, "height": height, "people": boxes}
                    notes.add(row)
                pictures[name], people[name] = (row["width"], row["height"]), row["people"]
                progress(done, footage.count)
        finally:
            notes.close()
        summary.unreadable = footage.unreadable
        part = path.with_name(path.name + ".new")
        part.write_text(json.dumps(coco_box_content(pictures, people, about)) + "\n")
        part.replace(path)
        notes.path.unlink()
    for name in pictures:
        summary.count(len(people[name]))
    if not summary.pictures:
        raise UserError(f"nothing in {source} could be read; give a folder of pictures, a picture or a video")
    if not summary.people and required:
        raise UserError(
            f"{detector.name} found no person in {summary.pictures} pictures of {source}; give another detector, a "
            "lower --detector-threshold, or --boxes"
        )
    return summary


class LivePeople:
    """The people of pictures that come one by one; nothing is written.

    Args:
        samples: whole pictures.
        detector: what looks.
        margin: what is shown is this many times a box.
        turned: crops follow the people's direction, for networks that expect people upright; see
            :meth:`hamipose.models.person_detection.PersonDetector.crops`.
        whole: where nobody is found, show the whole picture.
    """

    def __init__(
        self,
        samples: Iterable[UnlabeledSample],
        detector: PersonDetector,
        margin: float = 1.25,
        *,
        turned: bool = False,
        whole: bool = False,
    ):
        self.found = FoundPeople(whole=whole)
        self._samples = samples
        self._detector = detector
        self._margin = margin
        self._turned = turned
        self._whole = whole

    def __iter__(self) -> Iterator[UnlabeledSample]:
        for sample in self._samples:
            if self._turned:
                people = self._detector.crops(sample.image, self._margin)
            else:
                tight = self._detector(sample.image)
                boxes = padded_box(tight[:, :4], self._margin)
                people = np.concatenate([boxes, tight[:, 4:], 0 * tight[:, 4:]], 1)
            self.found.count(len(people))
            if self._whole and not len(people):
                yield replace(sample, name=f"{sample.name}#0")
            for number, person in enumerate(people):
                yield UnlabeledSample(
                    image=sample.image,
                    box_px=person[:4].astype(np.float32),
                    name=f"{sample.name}#{number}",
                    rotation_deg=float(person[5]),
                )

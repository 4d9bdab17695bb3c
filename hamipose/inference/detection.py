"""Open person detectors and detect the people of images on the fly."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torchvision.ops import nms

from hamipose.errors import UserError
from hamipose.geometry.crops import padded_box
from hamipose.models.blazepose_detector import blazepose_detector
from hamipose.models.person_detection import PersonDetector, torchvision_detector
from hamipose.models.pretrained.catalog import BLAZEPOSE, DETECTOR, cached_folder, detector_fetched
from hamipose.types import UnlabeledSample

__all__ = [
    "NO_DETECTOR",
    "DetectedPeople",
    "DetectionSummary",
    "default_detector",
    "detect_rotated",
    "open_detector",
]

#: Value of `--detector` that disables detection: each whole image is one person.
NO_DETECTOR = "none"


def open_detector(detector: str, threshold: float | None = None, device: str | None = None) -> PersonDetector:
    """Open the detector that ``--detector`` names.

    Args:
        detector: ``blazepose``, MediaPipe's detector, downloaded by `models fetch blazepose`; ``torchvision`` or
            ``torchvision:NAME`` (torchvision downloads its weights once); the file of a state dict of a torchvision
            detector; a mediapipe wheel up to 0.10.21, the .tflite file in it, or the converted folder in the cache.
        threshold: lowest score of a detected person; default: 0.5.
        device: torch device name; default: the first GPU, if any. MediaPipe's detector runs on the CPU.

    Raises:
        UserError: there is no such detector, its weights are not available, or a package is missing.
    """
    threshold = 0.5 if threshold is None else threshold
    if not 0 < threshold < 1:
        raise UserError(f"the detection threshold is {threshold:g}, expected a number between 0 and 1")
    if detector in (BLAZEPOSE.name, DETECTOR) and not Path(detector).exists():
        folder = cached_folder(DETECTOR)
        assert folder is not None, "the detector is in the catalog"
        return blazepose_detector(folder, threshold)
    if Path(detector).suffix in (".whl", ".tflite") or (Path(detector) / "operations.json").is_file():
        return blazepose_detector(detector, threshold)
    return torchvision_detector(detector, threshold, device)


def default_detector(threshold: float | None = None) -> tuple[PersonDetector | None, str]:
    """Return the default detector (None if it was not downloaded) and a message for the user.

    Args:
        threshold: as for :func:`open_detector`.
    """
    if detector_fetched():
        detector = open_detector(BLAZEPOSE.name, threshold)
        return detector, f"detecting people with {detector.name}; --detector {NO_DETECTOR} uses whole images"
    return None, (
        "each whole image is used as one person, because no person detector is installed; python -m hamipose models "
        f"fetch {BLAZEPOSE.name} downloads one ({BLAZEPOSE.size_mb} MB)"
    )


def detect_rotated(
    image: UInt8[np.ndarray, "height width 3"], detector: PersonDetector, margin: float = 1.25
) -> Float[np.ndarray, "person 6"]:
    """Detect people in an image rotated by 90, 180 and 270 degrees; most detectors miss people who are upside down.

    Args:
        image: RGB.
        detector: the detector.
        margin: see :meth:`hamipose.models.person_detection.PersonDetector.crops`.

    Returns:
        Rows as in :meth:`hamipose.models.person_detection.PersonDetector.crops`, in pixels of the image. Of crops that
        overlap by more than half, only the one with the highest score is kept.
    """
    height, width = image.shape[:2]
    rows = []
    for turns in (1, 2, 3):  # counterclockwise
        people = detector.crops(np.ascontiguousarray(np.rot90(image, turns)), margin)
        x, y = (people[:, :2] + people[:, 2:4] / 2).T
        x, y = ((width - y, x), (width - x, height - y), (y, height - x))[turns - 1]
        sides = people[:, 2:4] if turns == 2 else people[:, 3:1:-1]
        corner = np.stack([x, y], 1) - sides / 2
        rows.append(np.concatenate([corner, sides, people[:, 4:5], people[:, 5:] + 90 * turns], 1))
    found = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    kept = nms(torch.cat([found[:, :2], found[:, :2] + found[:, 2:4]], 1), found[:, 4], 0.5)
    return found[kept].numpy()


@dataclass
class DetectionSummary:
    """Result counts of a detector on several images.

    Attributes:
        images: number of images.
        empty: number of images without a detected person.
        people: number of detected people.
        unreadable: a line per unreadable image.
        whole_images: images without people are used as whole images instead of skipped.
    """

    images: int = 0
    empty: int = 0
    people: int = 0
    unreadable: list[str] = field(default_factory=list)
    whole_images: bool = False

    def __str__(self) -> str:
        """Return the summary as one line."""
        line = f"detected {self.people} people in {self.images} images"
        use = "used as whole images" if self.whole_images else "skipped"
        return f"{line}; images without people ({use}): {self.empty}" if self.empty else line

    def count(self, people: int) -> None:
        """Count an image.

        Args:
            people: number of people in it.
        """
        self.images += 1
        self.people += people
        self.empty += people == 0


class DetectedPeople:
    """Iterates over the people that a detector finds in a stream of images; nothing is written.

    Args:
        samples: whole images.
        detector: the detector.
        margin: crops show this many times a box.
        upright_crops: rotate crops so that people are upright, for networks that expect it; see
            :meth:`hamipose.models.person_detection.PersonDetector.crops`. In an image without people, people are then
            also sought with the image rotated by 90, 180 and 270 degrees.
        whole_images: use images without people as whole images instead of skipping them.

    Attributes:
        summary: counts of the images so far.
    """

    def __init__(
        self,
        samples: Iterable[UnlabeledSample],
        detector: PersonDetector,
        margin: float = 1.25,
        *,
        upright_crops: bool = False,
        whole_images: bool = False,
    ):
        self.summary = DetectionSummary(whole_images=whole_images)
        self._samples = samples
        self._detector = detector
        self._margin = margin
        self._upright_crops = upright_crops
        self._whole_images = whole_images

    def __iter__(self) -> Iterator[UnlabeledSample]:
        for sample in self._samples:
            if self._upright_crops:
                people = self._detector.crops(sample.image, self._margin)
                if not len(people):
                    people = detect_rotated(sample.image, self._detector, self._margin)
            else:
                tight = self._detector(sample.image)
                boxes = padded_box(tight[:, :4], self._margin)
                people = np.concatenate([boxes, tight[:, 4:], 0 * tight[:, 4:]], 1)
            self.summary.count(len(people))
            if self._whole_images and not len(people):
                yield replace(sample, name=f"{sample.name}#0")
            for number, person in enumerate(people):
                yield UnlabeledSample(
                    image=sample.image,
                    box_px=person[:4].astype(np.float32),
                    name=f"{sample.name}#{number}",
                    rotation_deg=float(person[5]),
                )

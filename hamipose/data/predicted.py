"""Predictions of any pose tool on unlabeled images: pseudo-labels to learn from, never annotations to score with."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from hamipose.data.base import KeypointDataset, UnlabelledDataset, named_skeleton
from hamipose.data.coco_results import picture_name
from hamipose.data.packed import Prepared
from hamipose.data.unlabelled import Unlabelled
from hamipose.errors import InputError
from hamipose.skeletons import Skeleton
from hamipose.types import PredictedSample

__all__ = ["PredictedKeypoints", "PredictedPerson", "read_predictions"]

_LOOKED_AT = 8  # samples that are compared with the file before a run


@dataclass(frozen=True)
class PredictedPerson:
    """One person in one image, as a tool found it.

    Attributes:
        image: file name, or ``VIDEO#NUMBER`` for a frame.
        keypoints_px: in pixels of the whole image, in a skeleton's order.
        scores: from 0 (not predicted) to 1.
        score: of the person.
    """

    image: str
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    scores: Float[np.ndarray, " keypoint"]
    score: float = 1.0

    @property
    def box_px(self) -> Float[np.ndarray, "4"]:
        """Left, top, width and height of the predicted keypoints' extent."""
        points = self.keypoints_px[self.scores > 0]
        low, high = points.min(0), points.max(0)
        return np.concatenate([low, high - low + 1]).astype(np.float32)


def read_predictions(path: Path, skeleton: Skeleton) -> list[PredictedPerson]:
    """Read the people of a file in COCO keypoint format, its keypoints matched by name.

    Scores are the annotations' ``keypoint_scores`` where they have them, as those of ``python -m hamipose predict`` do.
    Otherwise they are the third of each keypoint's numbers. A file in which those are flags (0, 1 and 2) has no scores
    for keypoints: the person's ``score``, or 1, is then that of all keypoints whose flag is not 0.

    Args:
        path: the file: images, annotations, and categories that name the keypoints.
        skeleton: the order; keypoints that the file does not name have score 0.

    Returns:
        People with at least one keypoint of a score above 0.

    Raises:
        InputError: the file is missing or of another form.
    """
    expected = "expected COCO keypoints with images, annotations and categories, as `predict` writes them"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"prediction file {path} cannot be read ({error.strerror}); {expected}") from None
    except ValueError as error:
        raise InputError(f"prediction file {path} is not valid JSON ({error}); {expected}") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise InputError(f"prediction file {path} lacks images, annotations or categories; {expected}")
    try:
        people = list(_people(content, path, skeleton))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"prediction file {path} has another form ({type(error).__name__}: {error}); {expected}"
        ) from None
    if not people:
        raise InputError(f"prediction file {path} has no person with a keypoint of a score above 0")
    return people


def _people(content: dict[str, Any], path: Path, skeleton: Skeleton) -> Iterator[PredictedPerson]:
    names: list[str] = next((c["keypoints"] for c in content["categories"] if "keypoints" in c), [])
    source = [names.index(k) if k in names else -1 for k in skeleton.keypoints]
    known = np.array(source) >= 0
    if not known.any():
        raise InputError(f"prediction file {path} names keypoints {', '.join(names[:4])}…, none of {skeleton.name}'s")
    images = {image["id"]: image["file_name"] for image in content["images"]}
    found = [a for a in content["annotations"] if a.get("keypoints")]
    triples = [np.asarray(a["keypoints"], np.float32) for a in found]
    for annotation, numbers in zip(found, triples, strict=True):
        if numbers.shape != (3 * len(names),):
            raise InputError(
                f"annotation {annotation.get('id')} in {path} has {numbers.size} numbers in keypoints, expected "
                f"{3 * len(names)} (x, y and score for each of {len(names)} keypoints)"
            )
    thirds = np.concatenate([numbers[2::3] for numbers in triples]) if triples else np.zeros(0)
    flags = bool((thirds > 1).any()) and set(np.unique(thirds)) <= {0, 1, 2}
    for annotation, numbers in zip(found, triples, strict=True):
        person = float(annotation.get("score", 1.0))
        if "keypoint_scores" in annotation:
            scores = np.asarray(annotation["keypoint_scores"], np.float32)
        else:
            scores = (numbers[2::3] > 0) * np.float32(person) if flags else numbers[2::3]
        points = numbers.reshape(-1, 3)[source, :2]
        usable = known & np.isfinite(points).all(1)
        scores = np.where(usable, np.clip(np.nan_to_num(scores[source]), 0, 1), 0).astype(np.float32)
        if (scores > 0).any():
            image = images[annotation["image_id"]]
            yield PredictedPerson(image, np.where(usable[:, None], points, 0).astype(np.float32), scores, person)


class PredictedKeypoints(UnlabelledDataset):
    """Unlabeled images with keypoints that a tool predicted for them.

    A target set of this kind is learned from with ``adaptation.labels: predictions``. Each person of the set takes the
    prediction of the same image whose keypoints' extent overlaps most with the person's box; a person without one has
    scores of 0, and so no label. Predictions are in pixels of the whole image, turned upright where the set turns it.

    Args:
        dataset: the images and boxes.
        predictions: COCO keypoint file, see :func:`read_predictions`. Its file names are those of the set, or
            the ends of their paths.
        skeleton: keypoint order: body16, coco17, hand21 or lsp14.
    """

    def __init__(self, dataset: Dataset, predictions: str, skeleton: str = "body16"):
        if not isinstance(dataset, UnlabelledDataset):
            name = type(dataset).__name__
            fault = "has annotations" if isinstance(dataset, KeypointDataset) else "is not a set of unlabeled images"
            raise InputError(
                f"PredictedKeypoints wraps {name}, which {fault}; expected hamipose.data.Unlabelled with {name} as its "
                "dataset, or hamipose.data.ImageFolder"
            )
        if isinstance(dataset, Unlabelled) and isinstance(dataset.dataset, Prepared):
            raise InputError(
                "PredictedKeypoints wraps Prepared, whose pictures are crops of the original ones; expected the set "
                "that it was prepared from"
            )
        self.dataset = dataset
        self.predictions = Path(predictions)
        self.skeleton = named_skeleton(skeleton)
        self._claimed: dict[str, str] = {}

    @cached_property
    def _by_file(self) -> dict[str, list[tuple[str, list[PredictedPerson]]]]:
        """Name without folders → full names with their people."""
        images: dict[str, list[PredictedPerson]] = {}
        for person in read_predictions(self.predictions, self.skeleton):
            images.setdefault(person.image, []).append(person)
        found: dict[str, list[tuple[str, list[PredictedPerson]]]] = {}
        for name, people in images.items():
            found.setdefault(PurePosixPath(name).name, []).append((name, people))
        return found

    @property
    def decode_side(self) -> int:
        """See the wrapped set."""
        return self.dataset.decode_side

    @decode_side.setter
    def decode_side(self, side: int) -> None:
        self.dataset.decode_side = side

    def prepare(self) -> None:
        """Read the file, and compare a few samples with it.

        Raises:
            InputError: none of them has a prediction.
        """
        self.dataset.prepare()
        names = [next(iter(images))[0] for images in self._by_file.values()]
        places = np.unique(np.linspace(0, len(self.dataset) - 1, _LOOKED_AT).round().astype(int))
        samples = [self.dataset[int(i)] for i in places]
        if not any(self._people_in(sample.name) for sample in samples):
            raise InputError(
                f"prediction file {self.predictions} has none of {len(samples)} images looked at, such as "
                f"{samples[0].name}; it has {', '.join(names[:3])}. Give the predictions of this footage"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> PredictedSample:
        sample = self.dataset[index]
        people = self._people_in(sample.name)
        points = np.zeros((len(self.skeleton), 2), np.float32)
        scores = np.zeros(len(self.skeleton), np.float32)
        box = sample.box_px * sample.reduction
        overlaps = [_overlap(person.box_px, box) for person in people]
        if people and max(overlaps) > 0:
            person = people[int(np.argmax(overlaps))]
            # A pixel of a reduced picture is the mean of a block: its center lies in the middle of the block.
            points = ((person.keypoints_px + 0.5) / sample.reduction - 0.5).astype(np.float32)
            scores = person.scores
        return PredictedSample(
            sample.image,
            sample.box_px,
            sample.name,
            sample.reduction,
            pseudo_keypoints_px=points,
            pseudo_scores=scores,
        )

    def _people_in(self, name: str) -> list[PredictedPerson]:
        """Return the people predicted in the image of that sample.

        Raises:
            InputError: the file name fits another image of the set just as well.
        """
        for image in dict.fromkeys((name, picture_name(name))):
            candidates = self._by_file.get(PurePosixPath(image).name, [])
            fitting = [(full, people) for full, people in candidates if _same_file(full, image)]
            if not fitting:
                continue
            full, people = max(fitting, key=lambda candidate: len(PurePosixPath(candidate[0]).parts))
            if self._claimed.setdefault(full, image) != image:
                raise InputError(
                    f"{full} in {self.predictions} may be {self._claimed[full]} or {image}; expected file names with "
                    "enough of their folders to tell them apart"
                )
            return people
        return []


def _same_file(a: str, b: str) -> bool:
    """Whether one path is the end of the other."""
    mine, theirs = (PurePosixPath(path).parts for path in (a, b))
    length = min(len(mine), len(theirs))
    return mine[-length:] == theirs[-length:]


def _overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes: left, top, width, height."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = float(np.prod(np.clip(high - low, 0, None)))
    return common / (float(a[2] * a[3]) + float(b[2] * b[3]) - common)

"""Predictions of any pose estimator on unlabeled images, used as pseudo-labels in training and never for scores."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from hamipose.data.base import KeypointDataset, UnlabeledDataset, get_skeleton
from hamipose.data.datasets.prepared import Prepared
from hamipose.data.wrappers import Unlabeled
from hamipose.errors import UserError
from hamipose.io.coco import CocoPerson, read_coco
from hamipose.io.coco_writer import image_name
from hamipose.io.image_orientation import is_annotated_upright, orient_points, read_image_header
from hamipose.skeletons import Skeleton
from hamipose.types import PredictedSample

__all__ = ["PredictedKeypoints", "PredictedPerson", "read_predictions"]

_CHECKED_SAMPLES = 8  # samples that are compared with the file before a run


@dataclass(frozen=True)
class PredictedPerson:
    """One predicted person in one image.

    Attributes:
        image: file name, or ``VIDEO#NUMBER`` for a frame.
        keypoints_px: keypoints in pixels of the whole image, in a skeleton's order.
        scores: score of each keypoint, from 0 (not predicted) to 1.
        score: score of the person.
        size: width and height of the image that the file states.
        upright: whether the file states that pixels are those of the upright image.
    """

    image: str
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    scores: Float[np.ndarray, " keypoint"]
    score: float = 1.0
    size: tuple[int, int] | None = None
    upright: bool | None = None

    @property
    def box_px(self) -> Float[np.ndarray, "4"]:
        """Return left, top, width and height of the box around the predicted keypoints."""
        points = self.keypoints_px[self.scores > 0]
        low, high = points.min(0), points.max(0)
        return np.concatenate([low, high - low + 1]).astype(np.float32)


def read_predictions(path: Path, skeleton: Skeleton) -> list[PredictedPerson]:
    """Read the people of a file in COCO keypoint format; keypoints are matched by name.

    Scores are the annotations' ``keypoint_scores`` if there are any, as in files of ``python -m hamipose predict``.
    Otherwise they are the third number of each keypoint. If the third numbers are flags (0, 1 and 2), keypoints have no
    scores of their own: keypoints whose flag is not 0 then have the person's ``score``, or 1.

    Args:
        path: the file, with images, annotations, and categories that name the keypoints.
        skeleton: keypoint order; keypoints that the file does not name have score 0.

    Returns:
        People with at least one keypoint with a score above 0. Annotations that cannot be used are skipped and logged.

    Raises:
        UserError: the file is missing or has an unexpected format, or no person in it can be used.
    """
    file = read_coco(path, "prediction file")
    if file.images is None:
        raise UserError(
            f"prediction file {path} is a list of results without images; expected COCO keypoints with images, "
            "annotations and categories, as written by `predict`"
        )
    people = [_predicted(person, skeleton, file.upright) for person in file.people_with_keypoints(skeleton.keypoints)]
    usable = [person for person in people if (person.scores > 0).any()]
    if not usable:
        reasons = f" (skipped {file.skipped.describe()})" if file.skipped.by_reason else ""
        raise UserError(f"prediction file {path} has no person with a keypoint with a score above 0{reasons}")
    file.skipped.warn()
    return usable


def _predicted(person: CocoPerson, skeleton: Skeleton, upright: bool | None) -> PredictedPerson:
    assert person.keypoints is not None
    assert person.image is not None
    own = person.keypoints
    points = np.zeros((len(skeleton), 2), np.float32)
    scores = np.zeros(len(skeleton), np.float32)
    rows = {name: row for row, name in enumerate(own.names)}
    for k, name in enumerate(skeleton.keypoints):
        row = rows.get(name)
        if row is not None and own.has_position[row] and own.visibility[row] > 0:
            points[k], scores[k] = own.px[row], own.confidence[row]
    score = 1.0 if person.score is None else float(np.clip(person.score, 0, 1))
    if set(np.unique(scores)) <= {0.0, 1.0}:  # flags
        scores *= score
    return PredictedPerson(person.image.file_name, points, scores, score, person.image.size, upright)


class PredictedKeypoints(UnlabeledDataset):
    """Unlabeled images with predicted keypoints, for ``adaptation.labels: predictions``.

    Each person of the set gets the prediction of the same image whose keypoint box overlaps most with the person's box;
    a person without any has scores of 0, that is, no labels. Predictions are in pixels of the whole image, and are
    rotated if the set rotates the image.

    Args:
        dataset: the images and boxes.
        predictions: COCO keypoint file, see :func:`read_predictions`. Its file names are those of the set, or
            the ends of their paths.
        skeleton: keypoint order: body16, coco17, hand21 or lsp14.
    """

    def __init__(self, dataset: Dataset, predictions: str, skeleton: str = "body16"):
        if not isinstance(dataset, UnlabeledDataset):
            name = type(dataset).__name__
            fault = "has annotations" if isinstance(dataset, KeypointDataset) else "is not a set of unlabeled images"
            raise UserError(
                f"PredictedKeypoints wraps {name}, which {fault}; expected hamipose.data.Unlabeled with {name} as its "
                "dataset, or hamipose.data.ImageFolder"
            )
        if isinstance(dataset, Unlabeled) and isinstance(dataset.dataset, Prepared):
            raise UserError(
                "PredictedKeypoints wraps Prepared, whose images are crops of the original ones; expected the data set "
                "that it was prepared from"
            )
        self.dataset = dataset
        self.predictions = Path(predictions)
        self.skeleton = get_skeleton(skeleton)
        self._claimed: dict[str, str] = {}

    @cached_property
    def _by_file(self) -> dict[str, list[tuple[str, list[PredictedPerson]]]]:
        """Return, by file name without folders, the full names with their people."""
        images: dict[str, list[PredictedPerson]] = {}
        for person in read_predictions(self.predictions, self.skeleton):
            images.setdefault(person.image, []).append(person)
        by_name: dict[str, list[tuple[str, list[PredictedPerson]]]] = {}
        for name, people in images.items():
            by_name.setdefault(PurePosixPath(name).name, []).append((name, people))
        return by_name

    @property
    def decode_side(self) -> int:
        """See the wrapped set."""
        return self.dataset.decode_side

    @decode_side.setter
    def decode_side(self, side: int) -> None:
        self.dataset.decode_side = side

    def prepare(self) -> None:
        """Read the file, and check that it has a prediction for at least one of a few samples.

        Raises:
            UserError: it has none.
        """
        self.dataset.prepare()
        names = [next(iter(images))[0] for images in self._by_file.values()]
        indices = np.unique(np.linspace(0, len(self.dataset) - 1, _CHECKED_SAMPLES).round().astype(int))
        samples = [self.dataset[int(i)] for i in indices]
        if not any(self._people_in(sample.name) for sample in samples):
            raise UserError(
                f"prediction file {self.predictions} has none of {len(samples)} checked images, such as "
                f"{samples[0].name}; it has {', '.join(names[:3])}. Give predictions for these images"
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
            # A pixel of the reduced image is the mean of a block, at whose center it lies.
            points = ((self._in_frame(person, sample.name, index) + 0.5) / sample.reduction - 0.5).astype(np.float32)
            scores = person.scores
        return PredictedSample(
            sample.image,
            sample.box_px,
            sample.name,
            sample.reduction,
            rotation_deg=sample.rotation_deg,
            pseudo_keypoints_px=points,
            pseudo_scores=scores,
        )

    def _in_frame(self, person: PredictedPerson, name: str, index: int) -> Float[np.ndarray, "keypoint 2"]:
        """Return a prediction in pixels of the sample, which may be rotated by its orientation tag."""
        path = image_name(name)
        header = None if person.size is None and person.upright is None else read_image_header(path)
        if header is None or header.orientation == 1:
            return person.keypoints_px
        predicted_upright = is_annotated_upright(path, header, person.size, person.upright, self.predictions)
        if predicted_upright == self.dataset.is_upright(index):
            return person.keypoints_px
        return orient_points(person.keypoints_px, header, back=predicted_upright).astype(np.float32)

    def _people_in(self, name: str) -> list[PredictedPerson]:
        """Return the people predicted in the image of a sample.

        Raises:
            UserError: the file name also matches another image of the set.
        """
        for image in dict.fromkeys((name, image_name(name))):
            candidates = self._by_file.get(PurePosixPath(image).name, [])
            matching = [(full, people) for full, people in candidates if _same_file(full, image)]
            if not matching:
                continue
            full, people = max(matching, key=lambda candidate: len(PurePosixPath(candidate[0]).parts))
            if self._claimed.setdefault(full, image) != image:
                raise UserError(
                    f"{full} in {self.predictions} may be {self._claimed[full]} or {image}; expected file names with "
                    "enough of their folders to tell them apart"
                )
            return people
        return []


def _same_file(a: str, b: str) -> bool:
    """Return whether one path is the end of the other."""
    first, second = (PurePosixPath(path).parts for path in (a, b))
    length = min(len(first), len(second))
    return first[-length:] == second[-length:]


def _overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """Return the intersection over union of two boxes: left, top, width, height."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = float(np.prod(np.clip(high - low, 0, None)))
    return common / (float(a[2] * a[3]) + float(b[2] * b[3]) - common)

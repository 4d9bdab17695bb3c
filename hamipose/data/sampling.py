"""What training sees at a given step: a pure function of (seed, step, position), whoever computes it and however often.

Nothing is drawn from a generator with a state. So the number of workers does not matter, a resumed run sees what the
uninterrupted one would have seen, and each process of many takes its slice of the one batch.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from hamipose.data.base import ImageDataset
from hamipose.data.views import View, Views, labels_in_view
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, compose, crop_matrix
from hamipose.io.image_file import UnreadableImage
from hamipose.types import PredictedSample, Sample, SourceBatch, TargetBatch, TrainBatch, UnlabeledSample

__all__ = ["BatchPosition", "Pool", "StepSampler", "TrainingDataset", "collate_training", "init_worker"]

_log = logging.getLogger("hamipose")
_SOURCE, _TARGET = 0, 1
_ATTEMPTS = 32


class BatchPosition(NamedTuple):
    """One place in one training batch."""

    step: int
    position: int
    with_target: bool
    with_source: bool = True


class StepSampler(Sampler[list[BatchPosition]]):
    """The places of this process in the batches of one epoch.

    Args:
        batch_size: of all processes together.
        steps: batches in an epoch.
        rank: number of this process.
        world: number of processes.
        first_step: asked at the start of each epoch for the optimizer's step number.
        wants_target: whether the method uses target images at a step.
        wants_source: whether it uses source images at a step; it always does where not given.
    """

    def __init__(
        self,
        batch_size: int,
        steps: int,
        rank: int,
        world: int,
        first_step: Callable[[], int],
        wants_target: Callable[[int], bool],
        wants_source: Callable[[int], bool] | None = None,
    ):
        if batch_size % world:
            raise UserError(f"batch_size is {batch_size}, which {world} processes cannot share evenly")
        self.positions = range(rank * (batch_size // world), (rank + 1) * (batch_size // world))
        self.steps = steps
        self.first_step = first_step
        self.wants_target = wants_target
        self.wants_source = wants_source or (lambda step: True)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[BatchPosition]]:
        start = self.first_step()
        for step in range(start, start + self.steps):
            wanted = self.wants_target(step), self.wants_source(step)
            yield [BatchPosition(step, position, *wanted) for position in self.positions]


S = TypeVar("S", bound=UnlabeledSample)


class Pool(Generic[S]):
    """Several data sets one after the other, drawn from without replacement, pass after pass.

    Unreadable pictures are reported once, replaced by a picture that depends on the place alone, and counted.

    Args:
        datasets: not empty.
        seed: of the run.
        stream: number that separates this pool's draws from another's.
    """

    def __init__(self, datasets: Sequence[ImageDataset[S]], seed: int, stream: int):
        self.datasets = list(datasets)
        self.seed = seed
        self.stream = stream
        self.ends = np.cumsum([len(d) for d in self.datasets])
        # In shared memory: a picture that one worker found broken is broken for the others and for the log.
        self.broken: Tensor = torch.zeros(int(self.ends[-1]), dtype=torch.uint8).share_memory_()
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self.ends[-1])

    def index(self, number: int) -> int:
        """Which item the draw of this running number takes: each once a pass, in an order of its own."""
        turn, place = divmod(number, len(self))
        if self._order is None or self._order[0] != turn:
            order = np.random.default_rng((self.seed, self.stream, turn)).permutation(len(self))
            self._order = turn, order.astype(np.uint32)  # half of what every loading process keeps
        return int(self._order[1][place])

    def read(self, number: int) -> S:
        """The sample of that running number, or the one that stands in for it."""
        index = self.index(number)
        substitutes = None
        for _ in range(_ATTEMPTS):
            if not self.broken[index]:
                try:
                    dataset = int(np.searchsorted(self.ends, index, side="right"))
                    return self.datasets[dataset][index - (int(self.ends[dataset - 1]) if dataset else 0)]
                except UnreadableImage as error:
                    self.broken[index] = 1
                    _log.warning("%s; training goes on with another picture in its place", error)
            if substitutes is None:
                substitutes = np.random.default_rng((self.seed, self.stream, number, 1))
            index = int(substitutes.integers(len(self)))
        raise UserError(
            f"{_ATTEMPTS} pictures in a row could not be read ({int(self.broken.sum())} of {len(self)} found broken so "
            f"far); check the folder of {type(self.datasets[0]).__name__}"
        )


class _Labelled(NamedTuple):
    image: np.ndarray
    keypoints_px: np.ndarray
    visibility: np.ndarray
    name: str
    domain: int


class _Predicted(NamedTuple):
    """Of a tool, in pixels of the plain crop."""

    keypoints_px: np.ndarray
    scores: np.ndarray


class _Pair(NamedTuple):
    student: View
    teacher: View
    name: str
    predicted: _Predicted | None


class TrainingDataset(Dataset):
    """Indexed by :class:`BatchPosition`: a labeled source view and two views of a target image, each where asked for.

    Args:
        source: labeled pool.
        target: unlabeled pool, or None.
        mirror: mirror pairs of the source's skeleton.
        batch_size: of all processes together.
        size: side of the views in pixels.
        seed: of the run.
        source_views: augmentation of the source, or several: the places of a batch take them in turn.
        student_views: augmentation of the target for the student.
        teacher_views: augmentation of the target for the teacher; None gives it the student's own view.
    """

    def __init__(
        self,
        source: Pool[Sample],
        target: Pool[UnlabeledSample] | None,
        mirror: list[int],
        batch_size: int,
        size: int,
        seed: int,
        source_views: Views | Sequence[Views],
        student_views: Views,
        teacher_views: Views | None,
    ):
        self.source = source
        self.target = target
        self.batch_size = batch_size
        self.size = size
        self.seed = seed
        self.source_views = [source_views] if isinstance(source_views, Views) else list(source_views)
        self.student_views = student_views
        self.teacher_views = teacher_views
        self.mirror = mirror

    def __getitem__(self, draw: BatchPosition) -> tuple[_Labelled | None, _Pair | None]:
        number = draw.step * self.batch_size + draw.position
        source = self._source(number, draw.position % len(self.source_views)) if draw.with_source else None
        return source, self._target(self.target, number) if draw.with_target and self.target is not None else None

    def _source(self, number: int, domain: int) -> _Labelled:
        sample = self.source.read(number)
        rng = np.random.default_rng((self.seed, _SOURCE, number))
        view = self.source_views[domain].view(sample, self.size, rng)
        keypoints_px, visibility = labels_in_view(
            sample.keypoints_px,
            sample.visibility,
            compose(view.matrix, crop_matrix(sample.box_px, self.size, sample.rotation_deg)),
            self.size,
            self.mirror if view.mirrored else None,
        )
        return _Labelled(view.image, keypoints_px, visibility, sample.name, domain)

    def _target(self, pool: Pool[UnlabeledSample], number: int) -> _Pair:
        sample = pool.read(number)
        rng = np.random.default_rng((self.seed, _TARGET, number))
        teacher_views = self.teacher_views
        # UniFrame cuts one window first and gives both networks their own views of it.
        common = teacher_views is not None and teacher_views.window_first and self.student_views.window_first
        window = self.student_views.sample_window(rng) if common else None
        student = self.student_views.view(sample, self.size, rng, window)
        teacher = student if teacher_views is None else teacher_views.view(sample, self.size, rng, window)
        return _Pair(student, teacher, sample.name, self._predicted(sample))

    def _predicted(self, sample: UnlabeledSample) -> _Predicted | None:
        if not isinstance(sample, PredictedSample):
            return None
        crop = crop_matrix(sample.box_px, self.size, sample.rotation_deg)
        points = apply_points(crop, sample.pseudo_keypoints_px.astype(np.float64))
        return _Predicted(points.astype(np.float32), sample.pseudo_scores.astype(np.float32))


def _images(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))


def _no_source() -> SourceBatch:
    return SourceBatch(
        image=torch.zeros(0, 3, 1, 1, dtype=torch.uint8),
        keypoints_px=torch.zeros(0, 1, 2),
        visibility=torch.zeros(0, 1, dtype=torch.int64),
        name=[],
        domain=torch.zeros(0, dtype=torch.int64),
    )


def _source_batch(sources: list[_Labelled]) -> SourceBatch:
    if not sources:
        return _no_source()
    return SourceBatch(
        image=_images([s.image for s in sources]),
        keypoints_px=torch.from_numpy(np.stack([s.keypoints_px for s in sources])),
        visibility=torch.from_numpy(np.stack([s.visibility for s in sources])),
        name=[s.name for s in sources],
        domain=torch.tensor([s.domain for s in sources]),
    )


def collate_training(items: list[tuple[_Labelled | None, _Pair | None]]) -> TrainBatch:
    """The items of a stream as one batch."""
    source = _source_batch([source for source, _ in items if source is not None])
    pairs = [pair for _, pair in items if pair is not None]
    if not pairs:
        return TrainBatch(source=source, target=None)

    def matrices(views: list[View]) -> Tensor:
        return torch.from_numpy(np.stack([v.matrix for v in views]).astype(np.float32))

    students, teachers = [p.student for p in pairs], [p.teacher for p in pairs]
    predicted = [p.predicted for p in pairs if p.predicted is not None]
    target = TargetBatch(
        student=_images([v.image for v in students]),
        teacher=_images([v.image for v in teachers]),
        student_matrix=matrices(students),
        teacher_matrix=matrices(teachers),
        student_mirrored=torch.tensor([v.mirrored for v in students]),
        teacher_mirrored=torch.tensor([v.mirrored for v in teachers]),
        name=[p.name for p in pairs],
        pseudo_keypoints_px=torch.from_numpy(np.stack([p.keypoints_px for p in predicted])) if predicted else None,
        pseudo_scores=torch.from_numpy(np.stack([p.scores for p in predicted])) if predicted else None,
    )
    return TrainBatch(source=source, target=target)


def init_worker(worker: int) -> None:
    """Keeps a loading process to one core: OpenCV would start a thread for each."""
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")

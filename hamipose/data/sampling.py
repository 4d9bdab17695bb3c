"""Training samples as a pure function of (seed, step, position).

No random generator keeps a state between samples. The batches therefore do not depend on the number of worker
processes, a resumed run gets the batches of an uninterrupted one, and each of several processes takes its slice of the
same batch.
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
from hamipose.data.views import View, Views
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, compose, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.io.image_file import UnreadableImage
from hamipose.types import PredictedSample, Sample, SourceBatch, TargetBatch, TrainBatch, UnlabeledSample

__all__ = ["BatchPosition", "Pool", "StepSampler", "TrainingDataset", "collate_training", "init_worker"]

_log = logging.getLogger("hamipose")
_SOURCE, _TARGET = 0, 1
_ATTEMPTS = 32


class BatchPosition(NamedTuple):
    """A position in a training batch, and the domains that its sample needs."""

    step: int
    position: int
    with_target: bool
    with_source: bool = True


class StepSampler(Sampler[list[BatchPosition]]):
    """Yield the positions of this process in each batch of one epoch.

    Args:
        batch_size: batch size over all processes.
        steps: batches per epoch.
        rank: number of this process.
        world: number of processes.
        first_step: returns the optimizer's step number; called at the start of each epoch.
        uses_target: whether the method uses target images at a step; default: never.
        uses_source: whether it uses source images at a step; default: always.

    Raises:
        UserError: the batch size is not a multiple of the number of processes.
    """

    def __init__(
        self,
        batch_size: int,
        steps: int,
        rank: int,
        world: int,
        first_step: Callable[[], int],
        uses_target: Callable[[int], bool] | None = None,
        uses_source: Callable[[int], bool] | None = None,
    ):
        if batch_size % world:
            raise UserError(f"batch_size is {batch_size}, which is not a multiple of {world} processes")
        self.positions = range(rank * (batch_size // world), (rank + 1) * (batch_size // world))
        self.steps = steps
        self.first_step = first_step
        self.uses_target = uses_target or (lambda step: False)
        self.uses_source = uses_source or (lambda step: True)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[BatchPosition]]:
        start = self.first_step()
        for step in range(start, start + self.steps):
            domains = self.uses_target(step), self.uses_source(step)
            yield [BatchPosition(step, position, *domains) for position in self.positions]


S = TypeVar("S", bound=UnlabeledSample)


class Pool(Generic[S]):
    """Concatenated data sets, sampled without replacement in each pass.

    An unreadable image is reported once, counted, and replaced by another one, which depends only on the draw.

    Args:
        datasets: data sets, none of them empty.
        seed: random seed of the run.
        stream: number of the random stream; pools of the same seed need different ones.

    Attributes:
        unreadable: 1 for each image found to be unreadable, in memory that worker processes share.
    """

    def __init__(self, datasets: Sequence[ImageDataset[S]], seed: int, stream: int):
        self.datasets = list(datasets)
        self.seed = seed
        self.stream = stream
        self.ends = np.cumsum([len(d) for d in self.datasets])
        self.unreadable: Tensor = torch.zeros(int(self.ends[-1]), dtype=torch.uint8).share_memory_()
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self.ends[-1])

    def index(self, number: int) -> int:
        """Return the index of draw `number`; each pass has its own order and draws each index once."""
        current, position = divmod(number, len(self))
        if self._order is None or self._order[0] != current:
            order = np.random.default_rng((self.seed, self.stream, current)).permutation(len(self))
            self._order = current, order.astype(np.uint32)  # halves the memory of each worker process
        return int(self._order[1][position])

    def read(self, number: int) -> S:
        """Return the sample of draw `number`, or its replacement if the image is unreadable.

        Raises:
            UserError: too many replacements are unreadable, too.
        """
        index = self.index(number)
        substitutes = None
        for _ in range(_ATTEMPTS):
            if not self.unreadable[index]:
                try:
                    dataset = int(np.searchsorted(self.ends, index, side="right"))
                    return self.datasets[dataset][index - (int(self.ends[dataset - 1]) if dataset else 0)]
                except UnreadableImage as error:
                    self.unreadable[index] = 1
                    _log.warning("%s; training uses another image instead", error)
            if substitutes is None:
                substitutes = np.random.default_rng((self.seed, self.stream, number, 1))
            index = int(substitutes.integers(len(self)))
        raise UserError(
            f"{_ATTEMPTS} images in a row could not be read ({int(self.unreadable.sum())} of {len(self)} so far); "
            f"check the folder of {type(self.datasets[0]).__name__}"
        )


class _LabeledView(NamedTuple):
    image: np.ndarray
    keypoints_px: np.ndarray
    visibility: np.ndarray
    name: str
    domain: int


class _PseudoLabels(NamedTuple):
    """Keypoints predicted by another tool, in pixels of the plain crop."""

    keypoints_px: np.ndarray
    scores: np.ndarray


class _TargetViews(NamedTuple):
    student: View
    teacher: View
    name: str
    predicted: _PseudoLabels | None


class TrainingDataset(Dataset):
    """A labeled source view and two views of a target image for each :class:`BatchPosition` that needs them.

    Args:
        source: labeled samples.
        target: unlabeled samples, or None.
        mirror: mirror pairs of the source's skeleton.
        batch_size: batch size over all processes.
        size: side of the views in pixels.
        seed: random seed of the run.
        source_views: augmentation of the source, or several, which the positions of a batch take in turn.
        student_views: augmentation of the target for the student.
        teacher_views: augmentation of the target for the teacher; None gives it the view of the student.
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

    def unreadable_count(self) -> int:
        """Return the number of unreadable images found so far."""
        target = 0 if self.target is None else int(self.target.unreadable.sum())
        return int(self.source.unreadable.sum()) + target

    def __getitem__(self, place: BatchPosition) -> tuple[_LabeledView | None, _TargetViews | None]:
        number = place.step * self.batch_size + place.position
        source = self._source(number, place.position % len(self.source_views)) if place.with_source else None
        return source, self._target(self.target, number) if place.with_target and self.target is not None else None

    def _source(self, number: int, domain: int) -> _LabeledView:
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
        return _LabeledView(view.image, keypoints_px, visibility, sample.name, domain)

    def _target(self, pool: Pool[UnlabeledSample], number: int) -> _TargetViews:
        sample = pool.read(number)
        rng = np.random.default_rng((self.seed, _TARGET, number))
        teacher_views = self.teacher_views
        # UniFrame cuts one window first; both networks get their own view of it.
        common = teacher_views is not None and teacher_views.window_first and self.student_views.window_first
        window = self.student_views.sample_window(rng) if common else None
        student = self.student_views.view(sample, self.size, rng, window)
        teacher = student if teacher_views is None else teacher_views.view(sample, self.size, rng, window)
        return _TargetViews(student, teacher, sample.name, self._predicted(sample))

    def _predicted(self, sample: UnlabeledSample) -> _PseudoLabels | None:
        if not isinstance(sample, PredictedSample):
            return None
        crop = crop_matrix(sample.box_px, self.size, sample.rotation_deg)
        points = apply_points(crop, sample.pseudo_keypoints_px.astype(np.float64))
        return _PseudoLabels(points.astype(np.float32), sample.pseudo_scores.astype(np.float32))


def _image_tensor(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))


def _empty_source_batch() -> SourceBatch:
    return SourceBatch(
        image=torch.zeros(0, 3, 1, 1, dtype=torch.uint8),
        keypoints_px=torch.zeros(0, 1, 2),
        visibility=torch.zeros(0, 1, dtype=torch.int64),
        name=[],
        domain=torch.zeros(0, dtype=torch.int64),
    )


def _source_batch(sources: list[_LabeledView]) -> SourceBatch:
    if not sources:
        return _empty_source_batch()
    return SourceBatch(
        image=_image_tensor([s.image for s in sources]),
        keypoints_px=torch.from_numpy(np.stack([s.keypoints_px for s in sources])),
        visibility=torch.from_numpy(np.stack([s.visibility for s in sources])),
        name=[s.name for s in sources],
        domain=torch.tensor([s.domain for s in sources]),
    )


def collate_training(items: list[tuple[_LabeledView | None, _TargetViews | None]]) -> TrainBatch:
    """Join the items of a :class:`TrainingDataset` to a batch."""
    source = _source_batch([source for source, _ in items if source is not None])
    pairs = [pair for _, pair in items if pair is not None]
    if not pairs:
        return TrainBatch(source=source, target=None)

    def matrices(views: list[View]) -> Tensor:
        return torch.from_numpy(np.stack([v.matrix for v in views]).astype(np.float32))

    students, teachers = [p.student for p in pairs], [p.teacher for p in pairs]
    predicted = [p.predicted for p in pairs if p.predicted is not None]
    target = TargetBatch(
        student=_image_tensor([v.image for v in students]),
        teacher=_image_tensor([v.image for v in teachers]),
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
    """Restrict a data loading process to one core; OpenCV would start one thread per core."""
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")

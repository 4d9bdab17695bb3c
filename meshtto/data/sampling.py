"""Training and evaluation samples; a training batch is a pure function of (seed, step, position)."""

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.utils.data import Dataset

from hamipose.data.sampling import BatchPosition, Pool
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, compose
from meshtto.data.augmentation import (
    NO_AUGMENTATION,
    NO_AUGMENTATION_RANGES,
    Augmentation,
    AugmentationParams,
    scale_channels,
    transform_labels,
)
from meshtto.data.base import MeshDataset
from meshtto.data.crop_geometry import compute_crop
from meshtto.data.occluders import add_occluders, read_occluders
from meshtto.data.people import crop_people
from meshtto.types import MeshBatch, MeshSample, PairedBatch

__all__ = [
    "MeshCrops",
    "MeshTrainingDataset",
    "Mixture",
    "PeopleBatches",
    "collate",
    "collate_training",
    "crop_sample",
]

_WHICH_SET, _VIEW = 10, 11  # constants that separate these random streams from others of the same seed


def crop_sample(
    sample: MeshSample,
    size: tuple[int, int],
    params: AugmentationParams = NO_AUGMENTATION,
    index: int = 0,
) -> MeshBatch:
    """Crop a sample to a batch of one, and transform all labels.

    Args:
        sample: the person, in pixels of the full image.
        size: height and width of the crop.
        params: augmentation parameters.
        index: position in the data set.
    """
    labels = transform_labels(sample, params)
    geometry = compute_crop(sample.box_px, sample.image_size, size, params.rotation_deg, params.scale, params.mirror)
    image = _warp(sample.image, geometry.matrix_from_reduced(sample.reduction), size)
    image = scale_channels(image, params.channels)

    def points(keypoints_px: Float[np.ndarray, "49 2"]) -> torch.Tensor:
        return torch.from_numpy(apply_points(geometry.matrix, keypoints_px.astype(np.float64)).astype(np.float32))[None]

    def array(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, np.float32))[None]

    return MeshBatch(
        image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None],
        keypoints_px=points(labels.keypoints_px),
        keypoints_confidence=array(labels.keypoints_confidence),
        evidence_px=points(labels.evidence_px),
        evidence_confidence=array(labels.evidence_confidence),
        joints_m=array(labels.joints_m),
        joints_confidence=array(labels.joints_confidence),
        rotations=array(labels.rotations),
        shape=array(labels.shape),
        has_mesh=torch.tensor([labels.has_mesh]),
        center_px=array(geometry.center_px),
        side_px=torch.tensor([geometry.side_px], dtype=torch.float32),
        image_size=array(labels.image_size),
        focal_px=torch.tensor([labels.focal_px], dtype=torch.float32),
        matrix=array(geometry.matrix),
        mirrored=torch.tensor([params.mirror]),
        gender=torch.tensor([labels.gender]),
        name=[labels.name],
        index=torch.tensor([index]),
    )


def _warp(
    image: UInt8[np.ndarray, "height width 3"], matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "height2 width2 3"]:
    """Warp an image to a crop, black outside; averages blocks first if it shrinks to less than half."""
    block = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6))
    block = min(block, *image.shape[:2])
    if block >= 2:
        height, width = (side // block * block for side in image.shape[:2])
        image = cv2.resize(image[:height, :width], (width // block, height // block), interpolation=cv2.INTER_AREA)
        offset = (block - 1) / 2
        matrix = compose(matrix, np.array([[block, 0, offset], [0, block, offset]], float))
    return cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def collate(items: list[MeshBatch]) -> MeshBatch:
    """Concatenate batches of one."""
    joined: dict[str, Any] = {
        field.name: torch.cat([getattr(item, field.name) for item in items])
        for field in fields(MeshBatch)
        if field.name != "name"
    }
    return MeshBatch(name=[name for item in items for name in item.name], **joined)


def collate_training(
    items: list[MeshBatch] | list[tuple[MeshBatch, MeshBatch]] | MeshBatch | PairedBatch,
) -> MeshBatch | PairedBatch:
    """Concatenate training samples, which are pairs if the auxiliary network has batches of its own.

    A whole batch (:class:`PeopleBatches`) is returned as it is.
    """
    if isinstance(items, (MeshBatch, PairedBatch)):
        return items
    if isinstance(items[0], tuple):
        first, second = zip(*items, strict=True)
        return PairedBatch(collate(list(first)), collate(list(second)))
    return collate(items)  # type: ignore[arg-type]


class Mixture:
    r"""Several data sets with given shares of the draws; within a set, each person is drawn once per pass.

    The draws of each set are spread evenly. For the first set, with share p, the number of its draws before draw n is

    .. math:: \lfloor (n a + u) / b \rfloor, \qquad p = a / b,

    with u drawn once from 0 … b − 1. This depends only on n, and is the position in the set's pass. The other sets
    share the remaining draws in the same way. Without `shares`, each person of all sets is drawn exactly once in as
    many draws as there are people.

    Args:
        datasets: at least one data set.
        shares: shares of the draws; default: proportional to the number of people.
        seed: random seed.
    """

    def __init__(self, datasets: Sequence[MeshDataset], shares: Sequence[float] | None, seed: int):
        if not datasets:
            raise UserError("data.train is empty, expected at least one data set")
        if shares is None:
            shares = [len(d) for d in datasets]
        if len(shares) != len(datasets) or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
            raise UserError(
                f"data.shares is {list(shares)} for {len(datasets)} data sets, expected a number above 0 for each"
            )
        self.datasets = list(datasets)
        self.seed = seed
        self.pools: list[Pool] = [Pool([d], seed, stream=100 + k) for k, d in enumerate(datasets)]
        # Integers a, b, u of each set: sums of floating point fractions would depend on rounding.
        self._shares: list[tuple[int, int, int]] = []
        exact = [Fraction(share) for share in shares]
        for k, share in enumerate(exact):
            left = sum(exact[k:])
            numerator, denominator = (share / left).as_integer_ratio() if left else (0, 1)
            drawn = np.random.default_rng((seed, _WHICH_SET, k)).bytes(16)
            self._shares.append((numerator, denominator, int.from_bytes(drawn, "little") % denominator))

    def place(self, number: int) -> tuple[int, int]:
        """Return the set of draw `number`, and how many draws of that set precede it."""
        for k, (a, b, u) in enumerate(self._shares):
            before = (number * a + u) // b
            if ((number + 1) * a + u) // b > before:
                return k, before
            number -= before
        raise AssertionError("shares add up to 1")

    def read(self, number: int) -> tuple[MeshSample, MeshDataset]:
        """Return the sample of draw `number`, and its data set."""
        chosen, position = self.place(number)
        return self.pools[chosen].read(position), self.datasets[chosen]

    def unreadable_count(self) -> int:
        """Return the number of unreadable images found so far."""
        return sum(int(pool.unreadable.sum()) for pool in self.pools)


class MeshTrainingDataset(Dataset):
    """Augmented crops, one per :class:`hamipose.data.sampling.BatchPosition`, or two with a second mixture.

    Args:
        mixture: the data sets.
        batch_size: batch size over all processes.
        size: height and width of the crops.
        augmentation: ranges of augmentation; None disables it.
        occluders: file of cutouts; default: drawn ones.
        second: the same data sets in another order, with another seed, for the second crop; default: none.
    """

    def __init__(
        self,
        mixture: Mixture,
        batch_size: int,
        size: tuple[int, int],
        augmentation: Augmentation | None,
        occluders: str | None = None,
        second: Mixture | None = None,
    ):
        self.mixture, self.batch_size, self.size = mixture, batch_size, size
        self.augmentation, self.occluders, self.second = augmentation, occluders, second

    def unreadable_count(self) -> int:
        """Return the number of unreadable images found so far."""
        return self.mixture.unreadable_count() + (0 if self.second is None else self.second.unreadable_count())

    def __getitem__(self, place: BatchPosition) -> MeshBatch | tuple[MeshBatch, MeshBatch]:
        number = place.step * self.batch_size + place.position
        first = self._crop(self.mixture, number)
        return first if self.second is None else (first, self._crop(self.second, number))

    def _crop(self, mixture: Mixture, number: int) -> MeshBatch:
        """Return the crop of a draw, with augmentation that depends on the mixture's seed and the draw alone."""
        sample, dataset = mixture.read(number)
        rng = np.random.default_rng((mixture.seed, _VIEW, number))
        if self.augmentation is None:
            return crop_sample(sample, self.size, index=number)
        crop = crop_sample(sample, self.size, self.augmentation.draw(rng), number)
        if dataset.occluders:
            cutouts = None if self.occluders is None else read_occluders(self.occluders)
            image = crop.image[0].numpy().transpose(1, 2, 0)
            covered = add_occluders(image, self.augmentation.occluders, rng, cutouts)
            crop.image = torch.from_numpy(np.ascontiguousarray(covered.transpose(2, 0, 1)))[None]
        return crop


class PeopleBatches(MeshTrainingDataset):
    """Whole batches of one data set without images; a person costs a fortieth of a crop that is made alone.

    The random numbers of a step are drawn for all of its positions, so a batch is the same for any number of
    processes. Simulated detectors see a person anew in each draw.
    """

    def __getitems__(self, places: list[BatchPosition]) -> MeshBatch | PairedBatch:
        first = self._batch(self.mixture, places)
        return first if self.second is None else PairedBatch(first, self._batch(self.second, places))

    def __getitem__(self, place: BatchPosition) -> Any:
        return self.__getitems__([place])

    def _batch(self, mixture: Mixture, places: list[BatchPosition]) -> MeshBatch:
        """Return the people of positions of one step."""
        dataset: Any = mixture.datasets[0]  # without images: a `BuiltinPeople`
        pool, step = mixture.pools[0], places[0].step
        rows = np.array([place.position for place in places])
        rng = np.random.default_rng((mixture.seed, _VIEW, step))
        augmentation = self.augmentation or NO_AUGMENTATION_RANGES
        views = augmentation.draw_many(rng, self.batch_size).rows(rows)
        draws = dataset.detector.draw(rng, self.batch_size).rows(rows)
        numbers = step * self.batch_size + rows
        people = dataset.people([pool.index(number) for number in numbers.tolist()], draws)
        return crop_people(people, self.size, views, torch.from_numpy(numbers))


class MeshCrops(Dataset):
    """All people of a data set once, without augmentation; indices beyond the end are padding without labels.

    Args:
        dataset: the evaluation set.
        size: height and width of the crops.
    """

    def __init__(self, dataset: MeshDataset, size: tuple[int, int]):
        self.dataset, self.size = dataset, size

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> MeshBatch:
        padding = index >= len(self.dataset)
        crop = crop_sample(self.dataset[index % len(self.dataset)], self.size, index=-1 if padding else index)
        if padding:
            for name in ("keypoints_confidence", "evidence_confidence", "joints_confidence"):
                getattr(crop, name).zero_()
            crop.has_mesh = torch.tensor([False])
        return crop

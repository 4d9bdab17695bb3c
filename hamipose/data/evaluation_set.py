"""Evaluation sets: the crop of each sample without augmentation, counted once for any number of processes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from hamipose.data.base import KeypointDataset, UnlabeledDataset
from hamipose.geometry.affine import crop_matrix
from hamipose.geometry.crops import crop_images, labels_in_view
from hamipose.types import LabeledBatch, Sample

__all__ = ["PlainCrops", "ShareSampler", "collate_evaluation"]


class ShareSampler(Sampler[int]):
    """Every `world`-th index starting at `rank`, padded so that all processes get equally many, as DDP requires.

    Padding has indices from `count` on; :class:`PlainCrops` removes its labels, so nothing is counted twice.

    Args:
        count: number of samples.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(self, count: int, rank: int, world: int):
        self.count = count
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        return -(-self.count // self.world)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self) * self.world, self.world))


class PlainCrops(Dataset):
    """Crops without augmentation, with labels if the data set has them.

    Args:
        dataset: labeled data set, or unlabeled one to predict.
        size: side of the crop in pixels.
        keypoints: number of keypoints in the samples of an unlabeled set, all marked as not labeled.
    """

    def __init__(self, dataset: KeypointDataset | UnlabeledDataset, size: int, keypoints: int):
        self.dataset = dataset
        self.size = size
        self.keypoints = keypoints

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> LabeledBatch:
        padding = index >= len(self.dataset)
        sample = self.dataset[index % len(self.dataset)]
        matrix = crop_matrix(sample.box_px, self.size, sample.rotation_deg)
        if isinstance(sample, Sample):
            keypoints_px, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, self.size)
        else:
            keypoints_px = np.zeros((self.keypoints, 2), np.float32)
            visibility = np.zeros(self.keypoints, np.int64)
        return LabeledBatch(
            image=crop_images([sample.image], [matrix], self.size),
            keypoints_px=torch.from_numpy(keypoints_px)[None],
            visibility=torch.from_numpy(visibility * (not padding))[None],
            matrix=torch.from_numpy(matrix.astype(np.float32))[None],
            name=[sample.name],
            index=torch.tensor([-1 if padding else index]),
            image_size_px=torch.tensor([[sample.image.shape[1], sample.image.shape[0]]]),
        )


def collate_evaluation(items: list[LabeledBatch]) -> LabeledBatch:
    """Concatenate batches of one."""
    return LabeledBatch(
        image=torch.cat([i.image for i in items]),
        keypoints_px=torch.cat([i.keypoints_px for i in items]),
        visibility=torch.cat([i.visibility for i in items]),
        matrix=torch.cat([i.matrix for i in items]),
        name=[n for i in items for n in i.name],
        index=torch.cat([i.index for i in items]),
        image_size_px=None
        if any(i.image_size_px is None for i in items)
        else torch.cat([i.image_size_px for i in items]),  # type: ignore[misc]
    )

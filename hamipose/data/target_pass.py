"""One pass over all target images: for methods that label the whole target set between two training steps."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from hamipose.data.datamodule import DomainAdaptation
from hamipose.data.evaluation_set import PlainCrops, ShareSampler, collate_evaluation
from hamipose.io.image_file import UnreadableImage
from hamipose.types import LabeledBatch

__all__ = ["iterate_target"]


class _Readable(Dataset):
    """Evenly spaced crops of a set; an unreadable image becomes black padding, without a name and with index -1."""

    def __init__(self, crops: PlainCrops, count: int):
        self.crops = crops
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LabeledBatch:
        total = len(self.crops)
        index = index * total // self.count if index < self.count else index - self.count + total
        try:
            return self.crops[index]
        except UnreadableImage:
            size, keypoints = self.crops.size, self.crops.keypoints
            return LabeledBatch(
                image=torch.zeros(1, 3, size, size, dtype=torch.uint8),
                keypoints_px=torch.zeros(1, keypoints, 2),
                visibility=torch.zeros(1, keypoints, dtype=torch.long),
                matrix=torch.zeros(1, 2, 3),
                name=[""],
                index=torch.tensor([-1]),
            )


def iterate_target(data: DomainAdaptation, rank: int, world: int, count: int | None = None) -> Iterator[LabeledBatch]:
    """Yield this process's share of the target images in batches without labels.

    Args:
        data: the data module; its images are read in this process.
        rank: number of this process.
        world: number of processes; all get equally many batches.
        count: approximate number of images, evenly spaced in each target set; default: all.
    """
    total = sum(len(dataset) for dataset in data.target)
    for dataset in data.target:
        chosen = len(dataset) if count is None else min(len(dataset), max(1, count * len(dataset) // total))
        yield from DataLoader(
            _Readable(PlainCrops(dataset, data.image_size, len(data.skeleton)), chosen),
            batch_size=data.evaluation_batch_size,
            sampler=ShareSampler(chosen, rank, world),
            collate_fn=collate_evaluation,
            generator=torch.Generator().manual_seed(data.seed),  # leaves the global generator unchanged
        )

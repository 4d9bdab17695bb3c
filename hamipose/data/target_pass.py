"""Every image of the target once, as its plain crop: for methods that label the whole set between two steps."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from hamipose.data.datamodule import DomainAdaptation
from hamipose.data.evaluation_set import PlainCrops, ShareSampler, collate_evaluation
from hamipose.io.image_file import UnreadableImage
from hamipose.types import LabeledBatch

__all__ = ["iterate_target"]


class _Readable(Dataset):
    """Some plain crops; one that cannot be read is black, has no name and is numbered −1, as padding is."""

    def __init__(self, crops: PlainCrops, chosen: int):
        self.crops = crops
        self.chosen = chosen

    def __len__(self) -> int:
        return self.chosen

    def __getitem__(self, index: int) -> LabeledBatch:
        every = len(self.crops)
        index = index * every // self.chosen if index < self.chosen else index - self.chosen + every
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
    """This process's share of all target images, in batches without a single label.

    Args:
        data: whose targets; images are read in this process.
        rank: number of this process.
        world: number of processes; each gets equally many batches.
        count: read about so many, at even distances through each target; all where None.
    """
    total = sum(len(dataset) for dataset in data.target)
    for dataset in data.target:
        chosen = len(dataset) if count is None else min(len(dataset), max(1, count * len(dataset) // total))
        yield from DataLoader(
            _Readable(PlainCrops(dataset, data.image_size, len(data.skeleton)), chosen),
            batch_size=data.evaluation_batch_size,
            sampler=ShareSampler(chosen, rank, world),
            collate_fn=collate_evaluation,
            generator=torch.Generator().manual_seed(data.seed),  # or it would take a number from the run's own
        )

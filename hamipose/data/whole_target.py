"""Every image of the target once, as its plain crop: for methods that label the whole set between two steps."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from hamipose.data.datamodule import DomainAdaptation
from hamipose.data.decode import UnreadableImage
from hamipose.data.evaluation import PlainCrops, ShareSampler, collate_evaluation
from hamipose.types import LabelledBatch

__all__ = ["whole_target"]


class _Readable(Dataset):
    """Plain crops; a picture that cannot be read is black and numbered −1, as padding is."""

    def __init__(self, crops: PlainCrops):
        self.crops = crops

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> LabelledBatch:
        try:
            return self.crops[index]
        except UnreadableImage:
            size, keypoints = self.crops.size, self.crops.keypoints
            return LabelledBatch(
                image=torch.zeros(1, 3, size, size, dtype=torch.uint8),
                keypoints_px=torch.zeros(1, keypoints, 2),
                visibility=torch.zeros(1, keypoints, dtype=torch.long),
                matrix=torch.zeros(1, 2, 3),
                name=[""],
                index=torch.tensor([-1]),
            )


def whole_target(data: DomainAdaptation, rank: int, world: int) -> Iterator[LabelledBatch]:
    """This process's share of all target images, in batches without a single label.

    Args:
        data: whose targets; images are read in this process.
        rank: number of this process.
        world: number of processes; each gets equally many batches.
    """
    for dataset in data.target:
        yield from DataLoader(
            _Readable(PlainCrops(dataset, data.image_size, len(data.skeleton))),
            batch_size=data.evaluation_batch_size,
            sampler=ShareSampler(len(dataset), rank, world),
            collate_fn=collate_evaluation,
            generator=torch.Generator().manual_seed(data.seed),  # or it would take a number from the run's own
        )

"""Several labeled data sets used as one."""

import bisect
import itertools

from hamipose.data.base import KeypointDataset
from hamipose.errors import UserError
from hamipose.types import Sample

__all__ = ["ConcatKeypoints"]


class ConcatKeypoints(KeypointDataset):
    """Concatenate labeled data sets, in the order given.

    Every sample is as likely as any other, so the share of each set in a batch follows from its size.

    Args:
        datasets: the sets to concatenate; all must have the same skeleton.

    Raises:
        UserError: no data set is given, or their skeletons differ.
    """

    def __init__(self, datasets: list[KeypointDataset]):
        if not datasets:
            raise UserError("ConcatKeypoints.datasets is empty: list at least one data set")
        skeletons = {dataset.skeleton.name for dataset in datasets}
        if len(skeletons) > 1:
            names = ", ".join(sorted(skeletons))
            raise UserError(f"ConcatKeypoints.datasets have different skeletons ({names}): give all the same one")
        self.datasets = datasets
        self.skeleton = datasets[0].skeleton

    def prepare(self) -> None:
        """Prepare each data set in turn."""
        for dataset in self.datasets:
            dataset.prepare()

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of 0 to {len(self) - 1}")
        ends = list(itertools.accumulate(len(dataset) for dataset in self.datasets))
        place = bisect.bisect_right(ends, index)
        dataset = self.datasets[place]
        dataset.decode_side = self.decode_side
        return dataset[index - (ends[place - 1] if place else 0)]

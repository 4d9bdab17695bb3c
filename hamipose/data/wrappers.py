"""Wrappers of labeled data sets: one without its labels, several as one."""

import bisect
import itertools

from hamipose.data.base import KeypointDataset, UnlabeledDataset
from hamipose.errors import UserError
from hamipose.types import Sample, UnlabeledSample

__all__ = ["ConcatKeypoints", "Unlabeled"]


class Unlabeled(UnlabeledDataset):
    """A labeled set without its labels: the only way to use it as a target of adaptation.

    Args:
        dataset: the labeled set.
    """

    def __init__(self, dataset: KeypointDataset):
        self.dataset = dataset

    def prepare(self) -> None:
        """See the wrapped set."""
        self.dataset.prepare()

    def check(self) -> None:
        """See the wrapped set."""
        self.dataset.check()

    def skipped_messages(self) -> list[str]:
        """See the wrapped set."""
        return self.dataset.skipped_messages()

    @property
    def upright(self) -> bool:  # type: ignore[override]
        """See the wrapped set."""
        return self.dataset.upright

    def is_upright(self, index: int) -> bool:
        """See the wrapped set."""
        return self.dataset.is_upright(index)

    @property
    def decode_side(self) -> int:
        """See the wrapped set."""
        return self.dataset.decode_side

    @decode_side.setter
    def decode_side(self, side: int) -> None:
        self.dataset.decode_side = side

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> UnlabeledSample:
        sample = self.dataset[index]
        return UnlabeledSample(
            sample.image, sample.box_px, sample.name, sample.reduction, rotation_deg=sample.rotation_deg
        )


class ConcatKeypoints(KeypointDataset):
    """Concatenated labeled data sets.

    Training draws all samples with equal probability: the share of each set in a batch is proportional to its size.

    Args:
        datasets: the sets to concatenate; all must have the same skeleton.

    Raises:
        UserError: no data set is given, or their skeletons differ.
    """

    def __init__(self, datasets: list[KeypointDataset]):
        if not datasets:
            raise UserError("ConcatKeypoints.datasets is empty; list at least one data set")
        skeletons = {dataset.skeleton.name for dataset in datasets}
        if len(skeletons) > 1:
            names = ", ".join(sorted(skeletons))
            raise UserError(
                f"ConcatKeypoints.datasets have different skeletons ({names}); give all of them one skeleton"
            )
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
            raise IndexError(f"index {index} is not in 0 to {len(self) - 1}")
        ends = list(itertools.accumulate(len(dataset) for dataset in self.datasets))
        number = bisect.bisect_right(ends, index)
        dataset = self.datasets[number]
        dataset.decode_side = self.decode_side
        return dataset[index - (ends[number - 1] if number else 0)]

"""The one door through which a labelled set becomes a target of adaptation: its labels stay outside."""

from hamipose.data.base import KeypointDataset, UnlabelledDataset
from hamipose.types import UnlabelledSample

__all__ = ["Unlabelled", "unlabelled"]


class Unlabelled(UnlabelledDataset):
    """The pictures and boxes of a labelled set.

    Args:
        dataset: the set whose labels are left behind.
    """

    def __init__(self, dataset: KeypointDataset):
        self.dataset = dataset

    def prepare(self) -> None:
        self.dataset.prepare()

    @property
    def decode_side(self) -> int:
        """See the wrapped set."""
        return self.dataset.decode_side

    @decode_side.setter
    def decode_side(self, side: int) -> None:
        self.dataset.decode_side = side

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> UnlabelledSample:
        sample = self.dataset[index]
        return UnlabelledSample(sample.image, sample.box_px, sample.name, sample.reduction)


def unlabelled(dataset: KeypointDataset) -> UnlabelledDataset:
    """`dataset` without its labels."""
    return Unlabelled(dataset)

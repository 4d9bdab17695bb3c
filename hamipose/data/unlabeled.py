"""The one door through which a labeled set becomes a target of adaptation: its labels stay outside."""

from hamipose.data.base import KeypointDataset, UnlabeledDataset
from hamipose.types import UnlabeledSample

__all__ = ["Unlabeled", "unlabeled"]


class Unlabeled(UnlabeledDataset):
    """The pictures and boxes of a labeled set.

    Args:
        dataset: the set whose labels are left behind.
    """

    def __init__(self, dataset: KeypointDataset):
        self.dataset = dataset

    def prepare(self) -> None:
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


def unlabeled(dataset: KeypointDataset) -> UnlabeledDataset:
    """`dataset` without its labels."""
    return Unlabeled(dataset)

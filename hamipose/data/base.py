"""What every data set with keypoints promises: samples one by one, cheap to construct, made ready by `prepare`."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from torch.utils.data import Dataset

from hamipose.errors import UserError
from hamipose.io.image_file import read_image
from hamipose.skeletons import SKELETONS, Skeleton
from hamipose.types import Sample, UnlabeledSample

__all__ = ["ImageDataset", "KeypointDataset", "UnlabeledDataset", "get_skeleton"]


def get_skeleton(name: str) -> Skeleton:
    """The skeleton of that name.

    Raises:
        UserError: there is none.
    """
    if name not in SKELETONS:
        raise UserError(f"skeleton is {name!r}, expected one of {', '.join(SKELETONS)}")
    return SKELETONS[name]


S = TypeVar("S", bound=UnlabeledSample, covariant=True)


class ImageDataset(Dataset[S], ABC):
    """Pictures on disk, decoded on demand.

    Attributes:
        cache: keep decoded pictures in memory (of each loading process): for sets of a few thousand small ones.
        decode_side: where positive, large pictures are decoded at a fraction of their size for as long as the box keeps
            at least this many pixels on its longer side. Set by the data module for training, where it saves time.
        upright: turn pictures as their orientation tags say: for sets without annotations, and annotations that were
            made for turned pictures; others are made for stored pixels.
    """

    cache: bool = False
    decode_side: int = 0
    upright: bool = False

    def prepare(self) -> None:
        """Make or check what has to be on disk. Called once, on one process, before anything is read."""

    def check(self) -> None:
        """Check within seconds that all that the set needs and cannot make is there; overridden where `prepare` works.

        Raises:
            UserError: something is missing or cannot be used.
        """
        self.prepare()

    def skipped_messages(self) -> list[str]:
        """Return a line about each thing that the set leaves out although a user may expect it; after `prepare`."""
        return []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> S: ...

    def reduction(self, box_px: Float[np.ndarray, "4"]) -> int:
        """At which fraction of its size (1, 2, 4 or 8) a picture with that box is decoded."""
        reduction = 1
        if self.decode_side > 0:
            side = float(max(box_px[2:]))
            while reduction < 8 and side / (2 * reduction) >= self.decode_side:
                reduction *= 2
        return reduction

    def is_upright(self, index: int) -> bool:
        """Return whether an item's picture is turned as its orientation tag says."""
        return self.upright

    def decode(
        self, path: Path, box_px: Float[np.ndarray, "4"] | None = None, upright: bool | None = None
    ) -> tuple[UInt8[np.ndarray, "height width 3"], int]:
        """Return the picture at `path` and the reduction (1, 2, 4 or 8) at which it was decoded.

        Args:
            path: of the picture.
            box_px: the part that matters; default: read at full size.
            upright: turn the picture as its orientation tag says; default: as the attribute says.
        """
        reduction = 1 if box_px is None else self.reduction(box_px)
        upright = self.upright if upright is None else upright
        if not self.cache:
            return read_image(path, reduction, upright), reduction
        kept = self.__dict__.setdefault("_kept", {})
        if (path, reduction) not in kept:
            kept[path, reduction] = read_image(path, reduction, upright)
        return kept[path, reduction], reduction


class KeypointDataset(ImageDataset[Sample]):
    """Labeled people: item i is a `Sample` in pixels of its own image. Constructing one reads nothing.

    Attributes:
        skeleton: the keypoints' order in every sample.
    """

    skeleton: Skeleton


class UnlabeledDataset(ImageDataset[UnlabeledSample]):
    """People without labels: the only kind of set that a target of adaptation may be."""

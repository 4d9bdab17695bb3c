"""Base classes of data sets. A constructor reads nothing; `prepare` checks or makes what the samples need."""

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
    """Return the skeleton of a name.

    Raises:
        UserError: unknown name.
    """
    if name not in SKELETONS:
        raise UserError(f"skeleton is {name!r}, expected one of {', '.join(SKELETONS)}")
    return SKELETONS[name]


S = TypeVar("S", bound=UnlabeledSample, covariant=True)


class ImageDataset(Dataset[S], ABC):
    """Images on disk, decoded on demand.

    Attributes:
        cache: keep decoded images in the memory of each worker process: for sets of a few thousand small images.
        decode_side: if positive, large images are decoded at a fraction of their size as long as the longer side of the
            box keeps at least this many pixels. The data module sets it for training, where it saves time.
        upright: rotate images by their orientation tags: for images without annotations, and for annotations of rotated
            images. Other annotations are in pixels of the stored image.
    """

    cache: bool = False
    decode_side: int = 0
    upright: bool = False

    def prepare(self) -> None:
        """Make or check the files that the samples need; called once, in one process, before anything is read."""

    def check(self) -> None:
        """Check within seconds that the required files exist; by default this is :meth:`prepare`.

        Data sets whose `prepare` takes long override this method.

        Raises:
            UserError: something is missing or cannot be used.
        """
        self.prepare()

    def skipped_messages(self) -> list[str]:
        """Return a message about each kind of skipped content that a user may miss; call it after `prepare`."""
        return []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> S: ...

    def reduction(self, box_px: Float[np.ndarray, "4"]) -> int:
        """Return the divisor of the size (1, 2, 4 or 8) at which an image with this box is decoded."""
        reduction = 1
        if self.decode_side > 0:
            side = float(max(box_px[2:]))
            while reduction < 8 and side / (2 * reduction) >= self.decode_side:
                reduction *= 2
        return reduction

    def is_upright(self, index: int) -> bool:
        """Return whether an item's image is rotated by its orientation tag."""
        return self.upright

    def decode(
        self, path: Path, box_px: Float[np.ndarray, "4"] | None = None, upright: bool | None = None
    ) -> tuple[UInt8[np.ndarray, "height width 3"], int]:
        """Return the image at `path` and the divisor of its size (1, 2, 4 or 8) at which it was decoded.

        Args:
            path: the image file.
            box_px: left, top, width, height of the part that matters; default: decode at full size.
            upright: rotate the image by its orientation tag; default: the attribute.
        """
        reduction = 1 if box_px is None else self.reduction(box_px)
        upright = self.upright if upright is None else upright
        if not self.cache:
            return read_image(path, reduction, upright), reduction
        cached = self.__dict__.setdefault("_cached", {})
        if (path, reduction) not in cached:
            cached[path, reduction] = read_image(path, reduction, upright)
        return cached[path, reduction], reduction


class KeypointDataset(ImageDataset[Sample]):
    """Labeled people or hands: item i is a `Sample` in pixels of its own image.

    Attributes:
        skeleton: keypoint order of all samples.
    """

    skeleton: Skeleton


class UnlabeledDataset(ImageDataset[UnlabeledSample]):
    """Images without labels: the only kind of data set that can be a target of adaptation."""

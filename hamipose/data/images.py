"""A plain folder of pictures, one person in each, nothing annotated: the target a user brings."""

from pathlib import Path

import numpy as np
from PIL import Image

from hamipose.data.base import UnlabelledDataset
from hamipose.data.decode import IMAGE_SUFFIXES
from hamipose.errors import InputError
from hamipose.types import UnlabelledSample

__all__ = ["ImageFolder"]


class ImageFolder(UnlabelledDataset):
    """Every picture below a folder, sorted by path; the whole picture is the box.

    Args:
        root: the folder; searched through to any depth.
        cache: keep decoded pictures in memory.
    """

    upright = True  # nobody has annotated them, and phones store pictures lying on their side

    def __init__(self, root: str, cache: bool = False):
        self.root = Path(root)
        self.cache = cache
        self._paths: list[Path] | None = None

    @property
    def paths(self) -> list[Path]:
        """The pictures, listed on first use.

        Raises:
            InputError: there is no such folder, or no picture in it.
        """
        if self._paths is None:
            if not self.root.is_dir():
                raise InputError(f"image folder {self.root} does not exist; give a folder of pictures")
            paths = sorted(p for p in self.root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not paths:
                raise InputError(f"image folder {self.root} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
            self._paths = paths
        return self._paths

    def prepare(self) -> None:
        _ = self.paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> UnlabelledSample:
        path = self.paths[index]
        whole = None
        if self.decode_side > 0:
            try:
                whole = np.array([0, 0, *Image.open(path).size], np.float32)  # reads the header alone
            except OSError:
                whole = None  # the decoder says what is wrong with it
        image, _ = self.decode(path, whole)
        height, width = image.shape[:2]
        return UnlabelledSample(image=image, box_px=np.array([0, 0, width, height], np.float32), name=str(path))

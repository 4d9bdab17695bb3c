"""Pictures that a user points to: one, a folder of them, a video."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.data.base import UnlabelledDataset
from hamipose.data.decode import UnreadableImage
from hamipose.data.images import ImageFolder, OnePicture
from hamipose.data.video import Video
from hamipose.errors import InputError
from hamipose.io.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, unread_reason

__all__ = ["Pictures", "Shown", "open_pictures"]


@dataclass
class Shown:
    """A picture and what it is called."""

    image: UInt8[np.ndarray, "height width 3"]
    name: str
    """File name of a picture; file name#number of a video's frame."""
    frame: int | None = None
    """Number of a video's frame."""
    path: Path | None = None
    """The file, with #number for a video's frame."""

    @property
    def stem(self) -> str:
        """What the names of its files begin with.

        >>> Shown(np.zeros((1, 1, 3), np.uint8), "clip.mp4#12", 12).stem
        'clip-000012'
        """
        if self.frame is None:
            return Path(self.name).stem
        return f"{Path(self.name.rpartition('#')[0]).stem}-{self.frame:06d}"


class Pictures:
    """Pictures one by one; unreadable ones are left out and listed.

    Args:
        dataset: where they come from.
        rate: frames per second, of a video.

    Attributes:
        unreadable: a line for each, for each kind of picture that is not supported, and for frames that a video lacks.
    """

    def __init__(self, dataset: UnlabelledDataset, rate: float | None = None) -> None:
        self._dataset = dataset
        self.rate = rate
        self.unreadable: list[str] = dataset.left_out_lines()

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def paths(self) -> list[Path]:
        """The files, of pictures that are not a video's."""
        if isinstance(self._dataset, ImageFolder):
            return self._dataset.paths
        return [self._dataset.path] if isinstance(self._dataset, OnePicture) else []

    def __iter__(self) -> Iterator[Shown]:
        for index in range(len(self._dataset)):
            try:
                sample = self._dataset[index]
            except UnreadableImage as error:
                self.unreadable.append(str(error))
                continue
            name = Path(sample.name).name
            frame = None if self.rate is None else int(name.rpartition("#")[2])
            yield Shown(sample.image, name, frame, Path(sample.name))


def _folder(source: str) -> ImageFolder:
    """All below it, whose files must not overwrite each other's results."""
    folder = ImageFolder(source)
    seen: dict[str, Path] = {}
    for path in folder.paths:
        if (other := seen.setdefault(path.stem, path)) is not path:
            raise InputError(
                f"{other} and {path} would be written to files of the same name; rename one of them, or give a "
                "folder at a time"
            )
    return folder


def open_pictures(source: str, every: int = 1) -> Pictures:
    """The pictures that `source` names: one, a folder of them, or a video. Photos are turned as their tags say.

    Args:
        source: a path.
        every: use every n-th frame of a video.

    Raises:
        InputError: there is no such thing, or two pictures of a folder differ in their folder or ending alone.
    """
    path = Path(source)
    if path.is_dir():
        return Pictures(_folder(source))
    if not path.exists():
        raise InputError(f"{source} does not exist; give a picture, a folder of pictures or a video")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        video = Video(source, every=every)
        video.prepare()
        return Pictures(video, video.rate)
    if is_image(path):
        return Pictures(OnePicture(path))
    if (reason := unread_reason(path)) is not None:
        raise InputError(f"{source}: {reason}")
    raise InputError(
        f"{source} is neither a picture ({', '.join(IMAGE_SUFFIXES)}) nor a video ({', '.join(VIDEO_SUFFIXES)})"
    )

"""Open a user's input: an image, a folder of images, or a video."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.data.base import UnlabeledDataset
from hamipose.data.datasets.footage.images import ImageFolder, SingleImage
from hamipose.data.datasets.footage.video import Video
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage
from hamipose.io.media_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, unsupported_reason

__all__ = ["Frame", "Frames", "open_frames"]


@dataclass
class Frame:
    """An image or video frame, and its name.

    Attributes:
        image: RGB.
        name: file name of an image; file name#number of a video frame.
        number: number of a video frame.
        path: the file, with #number for a video frame.
    """

    image: UInt8[np.ndarray, "height width 3"]
    name: str
    number: int | None = None
    path: Path | None = None

    @property
    def stem(self) -> str:
        """Return the prefix of its output files.

        >>> Frame(np.zeros((1, 1, 3), np.uint8), "clip.mp4#12", 12).stem
        'clip-000012'
        """
        if self.number is None:
            return Path(self.name).stem
        return f"{Path(self.name.rpartition('#')[0]).stem}-{self.number:06d}"


class Frames:
    """Iterates over images or frames; unreadable ones are skipped and listed.

    Args:
        dataset: the images or frames.
        rate: frames per second of a video.

    Attributes:
        unreadable: a line per unreadable image, per unsupported image format, and for missing frames of a video.
    """

    def __init__(self, dataset: UnlabeledDataset, rate: float | None = None) -> None:
        self._dataset = dataset
        self.rate = rate
        self.unreadable: list[str] = dataset.skipped_messages()

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def paths(self) -> list[Path]:
        """Return the paths of images; empty for a video."""
        if isinstance(self._dataset, ImageFolder):
            return self._dataset.paths
        return [self._dataset.path] if isinstance(self._dataset, SingleImage) else []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self._dataset)):
            try:
                sample = self._dataset[index]
            except UnreadableImage as error:
                self.unreadable.append(str(error))
                continue
            name = Path(sample.name).name
            number = None if self.rate is None else int(name.rpartition("#")[2])
            yield Frame(sample.image, name, number, Path(sample.name))


def _folder(source: str) -> ImageFolder:
    """Open a folder; reject images whose results would overwrite each other."""
    folder = ImageFolder(source)
    seen: dict[str, Path] = {}
    for path in folder.paths:
        if (other := seen.setdefault(path.stem, path)) is not path:
            raise UserError(
                f"{other} and {path} would be written to files of the same name; rename one of them, or give one "
                "folder at a time"
            )
    return folder


def open_frames(source: str, frame_stride: int = 1) -> Frames:
    """Open an image, a folder of images, or a video. Photos are rotated according to their EXIF orientation.

    Args:
        source: a path.
        frame_stride: use every n-th frame of a video.

    Raises:
        UserError: unusable path, or images of a folder that only differ in their subfolder or extension.
    """
    path = Path(source)
    if path.is_dir():
        return Frames(_folder(source))
    if not path.exists():
        raise UserError(f"{source} does not exist; give an image, a folder of images or a video")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        video = Video(source, frame_stride=frame_stride)
        video.prepare()
        return Frames(video, video.rate)
    if is_image(path):
        return Frames(SingleImage(path))
    if (reason := unsupported_reason(path)) is not None:
        raise UserError(f"{source}: {reason}")
    raise UserError(
        f"{source} is neither an image ({', '.join(IMAGE_SUFFIXES)}) nor a video ({', '.join(VIDEO_SUFFIXES)})"
    )

"""A video written frame by frame: MP4 for players, WebM for browsers, with the encoders that OpenCV brings."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.errors import InputError

__all__ = ["VideoFile"]

#: By ending. Every browser plays VP8 in WebM; the MP4 that OpenCV can write (MPEG-4 part 2), none does.
_CODECS = {".mp4": "mp4v", ".webm": "VP80"}


class VideoFile:
    """A video file; it is begun with the first frame, whose size all have. A context: leaving it completes the file.

    Args:
        path: ends in .mp4 or .webm; its folder is made.
        rate: frames per second.

    Attributes:
        frames: how many were written.
    """

    def __init__(self, path: Path, rate: float):
        if path.suffix not in _CODECS:
            raise InputError(f"video {path} is to be written, expected a name in {' or '.join(_CODECS)}")
        self.path = path
        self.rate = rate
        self.frames = 0
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *error: object) -> None:
        if self._video is not None:
            self._video.release()

    def add(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """One RGB frame more. Codecs want even sides: an odd one loses its last row or column.

        Raises:
            InputError: the file cannot be written.
            ValueError: the frame has another size than the first.
        """
        if self._video is None:
            self._size = (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix])
            self._video = cv2.VideoWriter(str(self.path), codec, self.rate, self._size)
            if not self._video.isOpened():
                raise InputError(f"video {self.path} cannot be written; check the folder and the free space")
        width, height = self._size
        found = (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        if found != self._size:  # OpenCV would drop it without a word
            raise ValueError(f"frame {self.frames} is {found[0]} x {found[1]} px, expected {width} x {height}")
        self._video.write(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), cv2.COLOR_RGB2BGR))
        self.frames += 1

"""Writing of videos frame by frame: MP4 for players, WebM for browsers, with the encoders that OpenCV brings."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.errors import UserError
from hamipose.io.atomic_file import free_bytes, temporary_beside
from hamipose.io.video import quiet_opencv, stated_frame_count

__all__ = ["VideoWriter"]

#: By ending. Every browser plays VP8 in WebM; the MP4 that OpenCV can write (MPEG-4 part 2), none does.
_CODECS = {".mp4": "mp4v", ".webm": "VP80"}

#: Below this much free space writing stops: the encoder buffers, and OpenCV 4 does not report errors.
_LEAST_FREE = 2**20
_CHECK_EVERY = 25  # frames


class VideoWriter:
    """A video file that appears once it is complete. A context: leaving it completes the file.

    The size of all frames is that of the first one.

    Args:
        path: ends in .mp4 or .webm; its folder is created.
        rate: frames per second.

    Attributes:
        frames: how many were written.
    """

    def __init__(self, path: Path, rate: float):
        if path.suffix not in _CODECS:
            raise UserError(f"video {path} has an ending that cannot be written; use {' or '.join(_CODECS)}")
        self.path = path
        self.rate = rate
        self.frames = 0
        self._beside = temporary_beside(path.absolute())  # FFmpeg would take "10:30.mp4" for a protocol
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *error: object) -> None:
        """Complete the file, which also happens after an error elsewhere, so that earlier frames are not lost.

        Raises:
            UserError: frames are missing from the file, because the disk is full or the encoder failed.
        """
        if self._video is None:
            return
        self._release()
        found = stated_frame_count(self._beside)
        if found < self.frames - (self.path.suffix != ".mp4"):  # WebM states a duration only
            self._fail(f"{max(0, found)} of {self.frames} frames were written")
        try:
            self._beside.replace(self.path)
        except OSError as failed:
            self._fail(failed.strerror or str(failed))

    def add(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one RGB frame. Codecs want even sides: an odd one loses its last row or column.

        Raises:
            UserError: the frame cannot be written; the unfinished file is removed.
            ValueError: the frame has another size than the first.
        """
        if self._video is None:
            self._begin(image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        assert self._video is not None
        width, height = self._size
        found = (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        if found != self._size:  # OpenCV would drop it without a word
            raise ValueError(f"frame {self.frames} is {found[0]} x {found[1]} px, expected {width} x {height}")
        with quiet_opencv():
            # OpenCV 5 returns whether the frame was written, OpenCV 4 nothing.
            done = self._video.write(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), cv2.COLOR_RGB2BGR))
        if done is False or (self.frames % _CHECK_EVERY == 0 and free_bytes(self.path) < _LEAST_FREE):
            self._release()
            self._fail(f"frame {self.frames} could not be written")
        self.frames += 1

    def _begin(self, width: int, height: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._beside.write_bytes(b"")  # OpenCV would not say why it cannot
        except OSError as failed:
            self._fail(failed.strerror or str(failed))
        self._size, codec = (width, height), cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix])
        with quiet_opencv():
            self._video = cv2.VideoWriter(str(self._beside), codec, self.rate, self._size)
        if not self._video.isOpened():
            self._release()
            self._fail(f"no encoder for {width} x {height} px at {self.rate:g} frames per second")

    def _release(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            with quiet_opencv():
                video.release()

    def _fail(self, reason: str) -> None:
        """Remove the unfinished file and raise."""
        full = free_bytes(self.path) < _LEAST_FREE
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)
        reason = os.strerror(errno.ENOSPC) if full else reason
        raise UserError(f"video {self.path} cannot be written ({reason}); check the folder and the free space")

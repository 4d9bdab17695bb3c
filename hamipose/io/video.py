"""Frames of video files by number, exactly: found by counting, or by a jump that the frame's time stamp confirms."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hamipose.io.file_type import HEAD, foreign_kind
from hamipose.io.image_file import UnreadableImage
from hamipose.io.quiet_opencv import quiet_opencv

__all__ = ["VideoDecoder", "check_video", "compute_frame_rate", "describe_lost_frames", "read_frame_times", "stated_frame_count"]

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silences FFmpeg, which OpenCV starts at its first video

_JUMP = 64  # frames ahead from which on a jump is cheaper than decoding what lies between


#: Containers that state how many frames there are; others state how long they last.
_COUNTED = (".mp4", ".mov", ".m4v", ".3gp", ".3g2", ".avi")


def _open(path: Path) -> cv2.VideoCapture:
    try:
        size = path.stat().st_size
        head = _head(path)
    except OSError as error:
        raise UnreadableImage(f"video {path} cannot be opened ({error.strerror}); check the data folder") from None
    if (kind := foreign_kind(head)) is not None:
        raise UnreadableImage(f"video {path} is {kind}")
    name = str(path.absolute())  # FFmpeg would take "10:30.mp4" for a protocol
    if not name.isprintable() and os.fsencode(name) != name.encode("utf-8", "replace"):
        raise UnreadableImage(f"video {path} has a name that is not UTF-8; rename it")
    with quiet_opencv():  # our error says it in one line; one thread, as a loading process has one core
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise UnreadableImage(
            f"video {path} is truncated, no video, or of a format not supported ({size} bytes); copy it again, convert "
            "it to MP4 or remove it"
        )
    return capture


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def check_video(path: Path) -> None:
    """Check that a file can be opened as a video.

    Raises:
        UnreadableImage: it is missing, of another kind, or in a format that is not supported.
    """
    _open(path)


def stated_frame_count(path: Path) -> int:
    """Return how many frames a video file says it has, or its length times its rate; 0 if it cannot be opened."""
    try:
        return int(_open(path).get(cv2.CAP_PROP_FRAME_COUNT))
    except UnreadableImage:
        return 0


def describe_lost_frames(path: Path, times_ms: Float[np.ndarray, " frame"]) -> str | None:
    """Return a line if a video ends early or frames of it cannot be decoded, else None.

    A file that states how many frames it has is compared exactly. Others state a length, which sound may exceed: they
    must lack more than a second and more than 5 % of it.

    Args:
        path: the file.
        times_ms: of :func:`read_frame_times`.
    """
    capture, decoded = _open(path), len(times_ms)
    announced, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    about = ""
    if path.suffix.lower() not in _COUNTED:
        lasts_s = announced / rate if rate > 0 else 0.0
        lack_s = lasts_s - (decoded / compute_frame_rate(times_ms))
        announced = decoded if lack_s < max(1.0, 0.05 * lasts_s) else round(compute_frame_rate(times_ms) * lasts_s)
        about = "about "
    if announced <= decoded:
        return None
    return f"video {path}: {decoded} of {about}{announced} frames can be decoded; it is truncated or damaged"


def read_frame_times(path: Path) -> Float[np.ndarray, " frame"]:
    """When each frame is shown, in milliseconds, read by decoding the whole file once.

    Raises:
        UnreadableImage: it is missing, no video, or has no frame.
    """
    capture, times = _open(path), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    if not times:
        raise UnreadableImage(f"video {path} has no frame that can be decoded; copy it again or remove it")
    return np.array(times)


def compute_frame_rate(times_ms: Float[np.ndarray, " frame"]) -> float:
    """Frames shown per second, from their times: a phone's file need not tell. 25 of a single frame.

    >>> frame_rate(np.array([0.0, 40.0, 80.0]))
    25.0
    """
    lasts_s = float(times_ms[-1] - times_ms[0]) / 1000
    return (len(times_ms) - 1) / lasts_s if lasts_s > 0 else 25.0


class VideoDecoder:
    """Keeps one video open, so that reading its frames in order decodes each of them once.

    A frame behind the last one read costs decoding again from the start of the file, or from the nearest key frame
    where the frames' times are known; `decoded` counts what was decoded in all.
    """

    def __init__(self) -> None:
        self.decoded = 0
        self._capture: cv2.VideoCapture | None = None
        self._place: tuple[Path, int] | None = None  # the open file, and the process that opened it
        self._next = 0

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process opens the file itself."""
        return {**self.__dict__, "_capture": None, "_place": None}

    def frame(
        self, path: Path, number: int, times_ms: Float[np.ndarray, " frame"] | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """One frame in RGB.

        Args:
            path: of the video.
            number: 0 is the first.
            times_ms: when each frame is shown; with them, far frames are reached by a jump, which is checked.

        Raises:
            UnreadableImage: the video is missing or broken, or ends before that frame.
        """
        place = (path, os.getpid())  # after a fork, two processes would move one file position
        if self._capture is None or self._place != place:
            self._capture, self._place, self._next = _open(path), place, 0
        if times_ms is not None and not -1 <= number - self._next <= _JUMP:
            if self._jump(self._capture, number, times_ms):
                return self._picture(self._capture, path, number)
            self._capture, self._next = _open(path), 0
        elif number < self._next - 1:  # the last one read can be had again
            self._capture, self._next = _open(path), 0
        while self._next <= number:
            if not self._grab(self._capture):
                self._place = None
                raise UnreadableImage(
                    f"video {path} ends after {self._next} frames, frame {number} was asked of it; is it truncated?"
                )
        return self._picture(self._capture, path, number)

    def _grab(self, capture: cv2.VideoCapture) -> bool:
        if not capture.grab():
            return False
        self._next += 1
        self.decoded += 1
        return True

    def _jump(self, capture: cv2.VideoCapture, number: int, times_ms: Float[np.ndarray, " frame"]) -> bool:
        """Whether the frame with that number's time stamp could be reached and is grabbed.

        Times that are not the file's, as its frame rate tells, are not gone by.
        """
        if not 0 <= number < len(times_ms) or len(times_ms) < 2:
            return False
        mean = float(times_ms[-1] - times_ms[0]) / (len(times_ms) - 1)
        if abs(mean * capture.get(cv2.CAP_PROP_FPS) / 1000 - 1) > 0.01:
            return False
        wanted, near = float(times_ms[number]), 0.1 * float(np.diff(times_ms).min())
        capture.set(cv2.CAP_PROP_POS_MSEC, wanted)
        while self._grab(capture):
            late = capture.get(cv2.CAP_PROP_POS_MSEC) - wanted
            if abs(late) < near:
                self._next = number + 1
                return True
            if late > 0:
                return False
        return False

    def _picture(self, capture: cv2.VideoCapture, path: Path, number: int) -> UInt8[np.ndarray, "height width 3"]:
        whole, image = capture.retrieve()
        if not whole or image is None:
            self._place = None
            raise UnreadableImage(f"frame {number} of video {path} cannot be decoded; copy the file again or remove it")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

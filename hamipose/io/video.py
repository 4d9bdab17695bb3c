"""Read frames of videos by number, exactly, and write videos frame by frame.

Frames are counted from the beginning; far frames are reached by a seek that the time stamp of the frame verifies.
Videos are written as MP4 for players or as WebM for browsers, with the encoders that OpenCV contains.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hamipose.errors import UserError
from hamipose.io.atomic_file import free_bytes, temporary_beside
from hamipose.io.file_type import HEAD, foreign_kind
from hamipose.io.image_file import UnreadableImage
from hamipose.io.quiet_opencv import quiet_opencv

__all__ = [
    "VideoDecoder",
    "VideoWriter",
    "check_video",
    "compute_frame_rate",
    "describe_lost_frames",
    "read_frame_times",
]

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # disables output of FFmpeg; read at the first video

_SEEK_DISTANCE = 64  # frames; from this distance on, a seek is cheaper than decoding the frames in between

#: Containers that state the number of frames; others state a duration.
_COUNTED = (".mp4", ".mov", ".m4v", ".3gp", ".3g2", ".avi")

#: Codecs by suffix. Every browser plays VP8 in WebM, but no browser plays the MP4 that OpenCV writes (MPEG-4 part 2).
_CODECS = {".mp4": "mp4v", ".webm": "VP80"}

#: Writing stops if less space is free: the encoder buffers data, and OpenCV 4 does not report errors.
_MIN_FREE_BYTES = 2**20
_CHECK_EVERY = 25  # frames


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
    with quiet_opencv():  # one thread, since a worker process has one core
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise UnreadableImage(
            f"video {path} is truncated, not a video, or in an unsupported format ({size} bytes); copy it again, "
            "convert it to MP4 or remove it"
        )
    return capture


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def check_video(path: Path) -> None:
    """Check that a file can be opened as a video.

    Raises:
        UnreadableImage: the file is missing, of another type, or in an unsupported format.
    """
    _open(path)


def _stated_frame_count(path: Path) -> int:
    """Return the number of frames that a video states, or its duration times its rate; 0 if it cannot be opened."""
    try:
        return int(_open(path).get(cv2.CAP_PROP_FRAME_COUNT))
    except UnreadableImage:
        return 0


def describe_lost_frames(path: Path, times_ms: Float[np.ndarray, " frame"]) -> str | None:
    """Return a line if frames of a video are missing or cannot be decoded, else None.

    If the file states the number of frames, any missing frame is reported. If it states a duration, which may be
    that of the sound, more than a second and more than 5 % of the duration must be missing.

    Args:
        path: the file.
        times_ms: result of :func:`read_frame_times`.
    """
    capture, decoded = _open(path), len(times_ms)
    stated, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    about = ""
    if path.suffix.lower() not in _COUNTED:
        lasts_s = stated / rate if rate > 0 else 0.0
        lack_s = lasts_s - (decoded / compute_frame_rate(times_ms))
        stated = decoded if lack_s < max(1.0, 0.05 * lasts_s) else round(compute_frame_rate(times_ms) * lasts_s)
        about = "about "
    if stated <= decoded:
        return None
    return f"video {path}: {decoded} of {about}{stated} frames can be decoded; it is truncated or damaged"


def read_frame_times(path: Path) -> Float[np.ndarray, " frame"]:
    """Return the time of each frame in milliseconds; decodes the whole file once.

    Raises:
        UnreadableImage: the file is missing, not a video, or has no frame.
    """
    capture, times = _open(path), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    if not times:
        raise UnreadableImage(f"video {path} has no frame that can be decoded; copy it again or remove it")
    return np.array(times)


def compute_frame_rate(times_ms: Float[np.ndarray, " frame"]) -> float:
    """Return the frames per second from the times of the frames, since files of phones may not state it.

    The result for a single frame is 25.

    >>> compute_frame_rate(np.array([0.0, 40.0, 80.0]))
    25.0
    """
    lasts_s = float(times_ms[-1] - times_ms[0]) / 1000
    return (len(times_ms) - 1) / lasts_s if lasts_s > 0 else 25.0


class VideoDecoder:
    """Decoder that keeps one video open, so that reading frames in order decodes each of them once.

    An earlier frame requires decoding from the start of the file, or from the nearest key frame if the times of the
    frames are known.

    Attributes:
        decoded: number of frames that were decoded so far.
    """

    def __init__(self) -> None:
        self.decoded = 0
        self._capture: cv2.VideoCapture | None = None
        self._place: tuple[Path, int] | None = None  # the open file and the process that opened it
        self._next = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open file, which a copy in another process opens again."""
        return {**self.__dict__, "_capture": None, "_place": None}

    def frame(
        self, path: Path, number: int, times_ms: Float[np.ndarray, " frame"] | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Return one frame in RGB.

        Args:
            path: path of the video.
            number: number of the frame; 0 is the first.
            times_ms: times of all frames; if given, far frames are reached by a verified seek.

        Raises:
            UnreadableImage: the video is missing, damaged, or has fewer frames.
        """
        place = (path, os.getpid())  # after a fork, two processes would share one file position
        if self._capture is None or self._place != place:
            self._capture, self._place, self._next = _open(path), place, 0
        if times_ms is not None and not -1 <= number - self._next <= _SEEK_DISTANCE:
            if self._seek(self._capture, number, times_ms):
                return self._retrieve(self._capture, path, number)
            self._capture, self._next = _open(path), 0
        elif number < self._next - 1:  # the last frame can be retrieved again
            self._capture, self._next = _open(path), 0
        while self._next <= number:
            if not self._grab(self._capture):
                self._place = None
                raise UnreadableImage(
                    f"video {path} has {self._next} frames, frame {number} was requested; check the file"
                )
        return self._retrieve(self._capture, path, number)

    def _grab(self, capture: cv2.VideoCapture) -> bool:
        if not capture.grab():
            return False
        self._next += 1
        self.decoded += 1
        return True

    def _seek(self, capture: cv2.VideoCapture, number: int, times_ms: Float[np.ndarray, " frame"]) -> bool:
        """Seek to the time of a frame and grab it; return whether its time stamp confirms the frame.

        Times that contradict the frame rate of the file are not used.
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

    def _retrieve(self, capture: cv2.VideoCapture, path: Path, number: int) -> UInt8[np.ndarray, "height width 3"]:
        success, image = capture.retrieve()
        if not success or image is None:
            self._place = None
            raise UnreadableImage(f"frame {number} of video {path} cannot be decoded; copy the file again or remove it")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class VideoWriter:
    """Writer of a video file, to be used as a context manager; the file appears when the context ends.

    All frames have the size of the first one.

    Args:
        path: path with the suffix .mp4 or .webm; its folder is created.
        rate: frames per second.

    Attributes:
        frames: number of frames that were written.
    """

    def __init__(self, path: Path, rate: float):
        if path.suffix not in _CODECS:
            raise UserError(f"video {path} has an unsupported suffix; use {' or '.join(_CODECS)}")
        self.path = path
        self.rate = rate
        self.frames = 0
        self._temporary = temporary_beside(path.absolute())  # FFmpeg would take "10:30.mp4" for a protocol
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *error: object) -> None:
        """Complete the file, also after an error in the block, so that earlier frames are not lost.

        Raises:
            UserError: frames are missing in the file because the disk is full or the encoder failed.
        """
        if self._video is None:
            return
        self._release()
        count = _stated_frame_count(self._temporary)
        if count < self.frames - (self.path.suffix != ".mp4"):  # WebM states only a duration
            self._fail(f"{max(0, count)} of {self.frames} frames were written")
        try:
            self._temporary.replace(self.path)
        except OSError as failed:
            self._fail(failed.strerror or str(failed))

    def add(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one RGB frame. Codecs require even sides, so the last row or column of an odd side is dropped.

        Raises:
            UserError: the frame cannot be written; the unfinished file is removed.
            ValueError: the frame has another size than the first one.
        """
        if self._video is None:
            self._begin(image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        assert self._video is not None
        width, height = self._size
        size = (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        if size != self._size:  # OpenCV would drop it without an error
            raise ValueError(f"frame {self.frames} is {size[0]} x {size[1]} px, expected {width} x {height}")
        with quiet_opencv():
            # OpenCV 5 returns whether the frame was written, OpenCV 4 nothing.
            written = self._video.write(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), cv2.COLOR_RGB2BGR))
        if written is False or (self.frames % _CHECK_EVERY == 0 and free_bytes(self.path) < _MIN_FREE_BYTES):
            self._release()
            self._fail(f"frame {self.frames} could not be written")
        self.frames += 1

    def _begin(self, width: int, height: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.write_bytes(b"")  # for the error message, which OpenCV does not provide
        except OSError as failed:
            self._fail(failed.strerror or str(failed))
        self._size, codec = (width, height), cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix])
        with quiet_opencv():
            self._video = cv2.VideoWriter(str(self._temporary), codec, self.rate, self._size)
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
        full = free_bytes(self.path) < _MIN_FREE_BYTES
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        reason = os.strerror(errno.ENOSPC) if full else reason
        raise UserError(f"video {self.path} cannot be written ({reason}); check the folder and the free space")

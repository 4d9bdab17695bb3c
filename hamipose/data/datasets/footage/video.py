"""A user's video of one person, without annotations."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.data.base import UnlabeledDataset
from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.io.video import VideoDecoder, check_video, compute_frame_rate, describe_lost_frames, read_frame_times
from hamipose.types import UnlabeledSample

__all__ = ["Video"]


class Video(UnlabeledDataset):
    """Every n-th frame of a video file.

    The file is decoded once to read the time of each frame, and frames are then sought by their times: videos of phones
    have a variable frame rate, and the frames must not depend on the order of access.

    Args:
        path: the video file.
        frame_stride: use every n-th frame: 0, n, 2n, …
        box: left, top, width, height of the crop in pixels; default: the whole frame.
    """

    upright = True

    def __init__(self, path: str, frame_stride: int = 1, box: list[float] | None = None):
        if frame_stride < 1:
            raise UserError(f"frame_stride of Video is {frame_stride}, expected at least 1")
        if box is not None and (len(box) != 4 or box[2] <= 0 or box[3] <= 0):
            raise UserError(f"box of Video is {box}, expected left, top, width and height above 0")
        self.path = Path(path)
        self.frame_stride = frame_stride
        self.box = box
        self._times: np.ndarray | None = None
        self._decoder = VideoDecoder()

    @property
    def times_ms(self) -> Float[np.ndarray, " frame"]:
        """Return the time of each frame of the file, read on first use."""
        if self._times is None:
            self._times = read_frame_times(self.path)
        return self._times

    @property
    def rate(self) -> float:
        """Return the number of used frames per second."""
        return compute_frame_rate(self.times_ms[:: self.frame_stride])

    def check(self) -> None:
        """Check that the file is a video; `prepare` decodes all of it."""
        check_video(self.path)

    def prepare(self) -> None:
        """Read the time of each frame, which decodes the video."""
        _ = self.times_ms

    def skipped_messages(self) -> list[str]:
        """Return a message if the video ends early or frames cannot be decoded."""
        lost = describe_lost_frames(self.path, self.times_ms)
        return [] if lost is None else [lost]

    def __len__(self) -> int:
        return -(-len(self.times_ms) // self.frame_stride)

    def __getitem__(self, index: int) -> UnlabeledSample:
        number = index * self.frame_stride
        image = self._decoder.frame(self.path, number, self.times_ms)
        box: Any = (
            whole_image_box(image.shape[1], image.shape[0]) if self.box is None else np.array(self.box, np.float32)
        )
        return UnlabeledSample(image=image, box_px=box, name=f"{self.path}#{number}")

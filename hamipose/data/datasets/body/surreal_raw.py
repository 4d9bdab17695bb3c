"""SURREAL in its official format: ``<split>/run{0,1,2}/<sequence>/<sequence>_c0001.mp4`` and ``…_info.mat``.

The info file's ``joints2D`` (2 × 24 × T, or 2 × 24 for one frame) are rounded pixels of the 320 × 240 video, from 0,
x to the right and y down. The images are mirrored, see :mod:`hamipose.data.datasets.body.surreal`.
"""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from rich.console import Console
from rich.progress import track

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.datasets.body.frame_index import Clip, FrameIndex
from hamipose.data.datasets.body.surreal import SMPL24, pick_joints
from hamipose.data.splits import check_protocol, check_split, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.geometry.crops import keypoint_box, padded_box, published_crop, published_labels
from hamipose.io.matlab_file import read_matlab
from hamipose.io.video import VideoDecoder
from hamipose.types import Sample

__all__ = ["SurrealRaw", "find_usable_frames", "is_broken_subject", "iterate_frames"]

_log = logging.getLogger("hamipose")
_WIDTH, _HEIGHT = 320, 240
_BROKEN = ("18", "19", "143_21")  # distorted bodies, listed in the data set's README


def is_broken_subject(sequence: str) -> bool:
    """Return whether a sequence, such as ``19_04`` or ``ung_143_21``, shows one of the known broken bodies."""
    name = sequence.removeprefix("ung_")
    return any(name == broken or name.startswith(broken + "_") for broken in _BROKEN)


def find_usable_frames(joints_px: Float[np.ndarray, "frame 24 2"]) -> Bool[np.ndarray, " frame"]:
    """Return which frames show a person: the joints do not coincide, and at least half of them are inside the image."""
    inside = ((joints_px >= 0) & (joints_px < (_WIDTH, _HEIGHT))).all(-1).sum(-1)
    spread = np.ptp(np.nan_to_num(joints_px), axis=1).min(-1)
    return np.isfinite(joints_px).all((1, 2)) & (spread > 0) & (inside >= len(SMPL24) // 2)


def _read_info(path: Path) -> Float[np.ndarray, "frame 24 2"]:
    """Read the joints of one clip.

    Raises:
        UserError: the file cannot be read, lacks them, or has an unexpected format.
    """
    joints = read_matlab(path, ["joints2D"], "info file", "SURREAL's _info.mat")["joints2D"]
    if joints.ndim == 2:
        joints = joints[..., None]  # MATLAB drops a last axis of length 1
    if joints.ndim != 3 or joints.shape[:2] != (2, 24) or joints.dtype.kind not in "fiu":
        raise UserError(
            f"joints2D in {path} is {joints.dtype} of shape {joints.shape}, expected numbers of shape 2 x 24 x frames"
        )
    return joints.transpose(2, 1, 0).astype(np.float32)


class SurrealRaw(KeypointDataset):
    """Rendered people of SURREAL (Varol et al., CVPR 2017), decoded from its videos.

    `prepare` reads all info files once and writes a memory-mapped index of 216 bytes per frame. Reading a frame in the
    middle of a clip decodes all frames before it, 50 on average, because the clips have one key frame: for long
    training, convert the set with ``python -m hamipose data prepare`` first.

    Args:
        root: folder with ``train``, ``val`` and ``test``, or with the release's folder ``cmu``, which contains them.
        split: "train", "val" or "test". Val is a part of test: evaluate on only one of the two. Neither contains
            sequences of train. Under "paper", RegDA's shuffle holds out a part of each folder: train is without it,
            test is only it.
        frame_stride: use every n-th frame of a clip.
        skeleton: keypoint order; keypoints are matched by name, those that BODY16 lacks are not labeled.
        protocol: "strict" crops to `padding` times the box of the joints, similar to a detector's, and uses SMPL's
            shoulder joints; "paper" crops to the published square and uses collar joints as shoulders. RegDA's own
            selection of frames was never released.
        padding: see `protocol`.
        index: folder of the index; default: ``<root>/index``.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        frame_stride: int = 1,
        skeleton: str = "body16",
        protocol: str = "strict",
        padding: float = 1.25,
        index: str | None = None,
    ):
        check_split(split, ("train", "val", "test"), "SurrealRaw")
        if frame_stride < 1 or padding <= 0:
            raise UserError(f"frame_stride is {frame_stride} and padding {padding}, expected at least 1 and above 0")
        self.root = Path(root) / "cmu" if (Path(root) / "cmu").is_dir() else Path(root)
        self.split = split
        self.frame_stride = frame_stride
        self.skeleton = get_skeleton(skeleton)
        self.protocol = check_protocol(protocol)
        self.padding = padding
        folder = self.root / "index" if index is None else Path(index)
        self.index = FrameIndex(
            folder / f"{split}-every{frame_stride}", len(SMPL24), {"split": split, "every": frame_stride}
        )
        self._order: np.ndarray | None = None
        self._decoder = VideoDecoder()

    def check(self) -> None:
        """Check that the info files exist; `prepare` reads them, which takes long."""
        if not self.index.exists():
            self._infos()

    def prepare(self) -> None:
        """Build the index if it is missing, and check that the first video exists."""
        if not self.index.exists():
            self.index.build(self._clips())
        video = self.root / self.index.clip(int(self.index.records[0]["clip"]))
        if not video.is_file():
            raise UserError(f"video {video} does not exist; expected SURREAL's mp4 files beside the _info.mat files")

    def _infos(self) -> list[Path]:
        infos = sorted((self.root / self.split).glob("run[0-2]/*/*_info.mat"))
        if not infos:
            raise UserError(
                f"{self.root / self.split} contains no run0/<sequence>/<sequence>_c0001_info.mat; expected SURREAL's "
                "released folders"
            )
        return infos

    def _clips(self) -> Iterator[Clip]:
        """Yield all clips with their usable frames, and log what is skipped in one line."""
        infos = self._infos()
        clips = broken = used = unusable = missing = 0
        console = Console(stderr=True, quiet=not sys.stderr.isatty())  # minutes for the 67,000 clips of the release
        for info in track(infos, f"SURREAL {self.split}: labels", console=console, transient=True):
            if is_broken_subject(info.parent.name):
                broken += 1
                continue
            video = info.with_name(info.name.replace("_info.mat", ".mp4"))
            if not video.is_file():
                missing += 1
                continue
            joints = _read_info(info)
            is_usable = find_usable_frames(joints)
            numbers = np.flatnonzero(is_usable)
            numbers = numbers[numbers % self.frame_stride == 0]
            clips, used, unusable = clips + 1, used + len(numbers), unusable + int((~is_usable).sum())
            box = padded_box(keypoint_box(joints[numbers]), self.padding) if len(numbers) else np.zeros((0, 4))
            yield Clip(str(video.relative_to(self.root)), numbers, joints[numbers], box.astype(np.float32))
        _log.info(
            "SURREAL %s: %d frames of %d clips; skipped: %d clips of broken subjects, %d clips without a video, "
            "%d frames without a person or with less than half of the joints in the image",
            *(self.split, used, clips, broken, missing, unusable),
        )

    @property
    def order(self) -> np.ndarray | None:
        """Return the positions in the index of the samples, in the order of the clips; None for all."""
        if self._order is None and self.protocol == "paper" and self.split != "val":
            order = shuffled(len(self.index.records))
            held_out = held_out_count(len(order))
            self._order = np.sort(order[held_out:] if self.split == "train" else order[:held_out])
        return self._order

    def __len__(self) -> int:
        return len(self.index.records) if self.order is None else len(self.order)

    def record(self, index: int) -> Any:
        """Return the record of a sample in the index."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.index.records[index if self.order is None else self.order[index]]

    def __getitem__(self, index: int) -> Sample:
        record = self.record(index)
        path, number = self.root / self.index.clip(int(record["clip"])), int(record["frame"])
        image = self._decoder.frame(path, number)
        joints = np.array(record["joints"])
        keypoints_px, visibility = pick_joints(joints, self.skeleton, self.protocol)
        box = np.array(record["box"])
        if self.protocol == "paper":
            box = published_crop(joints, image.shape[1], image.shape[0])
            keypoints_px = published_labels(keypoints_px, box)
        return Sample(
            image=image, box_px=box, name=f"{path}#{number}", keypoints_px=keypoints_px, visibility=visibility
        )


def iterate_frames(
    root: str, split: str = "train", frame_stride: int = 1, index: str | None = None
) -> Iterator[tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "24 2"], str]]:
    """Yield image, SMPL's 24 joints as released, and name of each usable frame; each clip is decoded once."""
    dataset = SurrealRaw(root, split, frame_stride=frame_stride, index=index)
    dataset.prepare()
    decoder = VideoDecoder()
    for record in dataset.index.records:
        path, number = dataset.root / dataset.index.clip(int(record["clip"])), int(record["frame"])
        yield decoder.frame(path, number), np.array(record["joints"]), f"{path}#{number}"

"""Human3.6M in its official format.

The folder of a subject ``S<n>`` contains:

- ``Videos/<action>.<camera>.mp4``, 50 frames per second;
- ``MyPoseFeatures/D2_Positions/<action>.<camera>.cdf``: ``Pose`` (1 × T × 64), 32 distorted joints in pixels;
- ``MySegmentsMat/ground_truth_bb/<action>.<camera>.mat``, MATLAB 7.3: ``Masks``, one image per frame, 1 inside the box.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.datasets.body.frame_index import Clip, FrameIndex
from hamipose.data.datasets.body.h36m import SUBJECTS, body16_from_h36m, default_frame_stride, to_skeleton
from hamipose.data.splits import check_protocol, check_split, sample_with_replacement
from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.geometry.crops import padded_box, published_crop, published_labels, whole_image_box
from hamipose.io.file_type import describe_error, explain
from hamipose.io.video import VideoDecoder
from hamipose.skeletons import BODY16
from hamipose.types import Sample

__all__ = ["H36M17_OF_32", "Human36MOfficial", "read_pose"]

_log = logging.getLogger("hamipose")
_TIMES_MS = np.arange(20_000) * 20.0
#: Indices of `H36M17` among the 32 joints of the official files.
H36M17_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
#: Actions of subject 9 whose labels are shifted by 200 mm relative to the videos.
_SHIFTED = ("Greeting", "SittingDown 1", "Waiting 1")


def read_pose(path: Path, axes: int) -> Float[np.ndarray, "frame 32 axes"]:
    """Read the 32 joints of one clip from a CDF file, in its order and unit.

    Args:
        path: ``<action>.<camera>.cdf`` of ``D2_Positions`` (pixels) or ``D3_Positions_mono`` (millimeters).
        axes: 2 or 3 numbers per joint.

    Raises:
        UserError: cdflib is not installed; the file cannot be read, lacks ``Pose``, or has an unexpected format.
    """
    require_packages("reading the official files of Human3.6M", "cdflib")
    import cdflib

    try:
        pose = np.asarray(cdflib.CDF(path).varget("Pose"))
    except Exception as error:  # damaged bytes can raise anything
        problem = "cannot be used" if "'Pose'" in str(error) else explain(path, "a CDF file")
        problem += f" ({describe_error(error)})"
        raise UserError(f"annotation file {path} {problem}; expected a CDF file with Pose") from None
    if pose.ndim != 3 or pose.shape[0] != 1 or pose.shape[2] != 32 * axes or pose.dtype.kind != "f":
        raise UserError(
            f"Pose in {path} is {pose.dtype} of shape {pose.shape}, expected finite numbers of 1 × frames × {32 * axes}"
        )
    if not np.isfinite(pose).all():
        raise UserError(f"Pose in {path} contains numbers that are not finite; expected positions")
    return pose[0].reshape(-1, 32, axes)


def _read_d2_positions(path: Path) -> Float[np.ndarray, "frame 16 2"]:
    """Read the joints of one video in the order of BODY16.

    Raises:
        UserError: see :func:`read_pose`.
    """
    joints = read_pose(path, axes=2)[:, list(H36M17_OF_32)]
    return body16_from_h36m(joints.astype(np.float32))


def _read_boxes(path: Path, frames: Int[np.ndarray, " frame"]) -> Float[np.ndarray, "frame 4"]:
    """Return left, top, width and height of the box in each mask.

    Raises:
        UserError: h5py is not installed; the file cannot be read, lacks ``Masks``, or a mask is empty.
    """
    require_packages("reading the official bounding boxes of Human3.6M", "h5py")
    import h5py

    boxes = np.zeros((len(frames), 4), np.float32)
    try:
        with h5py.File(path, "r") as file:
            masks = file["Masks"][()].reshape(-1)
            for row, frame in enumerate(frames):
                mask = np.asarray(file[masks[frame]]).T  # MATLAB stores columns first
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                if not len(rows):
                    raise UserError(f"mask {frame} in {path} is empty; expected the box of a person")
                boxes[row] = columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    except (OSError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"box file {path} cannot be read ({' '.join(str(error).split())}); expected one mask per "
            "frame in Masks, from ground_truth_bb"
        ) from None
    return boxes


class Human36MOfficial(KeypointDataset):
    """People of Human3.6M (Ionescu et al., PAMI 2014), decoded from its videos.

    `prepare` reads all positions once and writes a memory-mapped index of 152 bytes per frame.

    Args:
        root: folder with ``S1`` … ``S11``.
        split: "train" (subjects 1, 5, 6, 7, 8), "test" (9, 11) or "all".
        frame_stride: use every n-th frame of a video; default: 5, as published, and 64 for the "strict" test.
        box: under "strict", "person" crops to the data set's box times `padding`, "image" to the whole frame.
        skeleton: keypoint order; keypoints are matched by name, those that BODY16 lacks are not labeled.
        protocol: "strict" tests each frame once and skips three actions of subject 9 whose labels are shifted; "paper"
            crops to the published square around the true keypoints and tests 3200 draws with replacement (the published
            rule; the frames that it draws depend on the order of the JSON lists).
        padding: see `box`.
        index: folder of the index; default: ``<root>/index``.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        frame_stride: int | None = None,
        box: str = "person",
        skeleton: str = "body16",
        protocol: str = "strict",
        padding: float = 1.25,
        index: str | None = None,
    ):
        check_split(split, SUBJECTS, "Human36MOfficial")
        if box not in ("person", "image"):
            raise UserError(f"box is {box!r}, expected 'person' or 'image'")
        if padding <= 0:
            raise UserError(f"padding of Human36MOfficial is {padding}, expected a factor above 0, such as 1.25")
        self.root = Path(root)
        self.split = split
        self.skeleton = get_skeleton(skeleton)
        self.protocol = check_protocol(protocol)
        self.frame_stride = default_frame_stride(split, protocol, frame_stride)
        self.box = "none" if protocol == "paper" else box
        self.padding = padding
        folder = self.root / "index" if index is None else Path(index)
        name = f"{split}-every{self.frame_stride}-{protocol}-{self.box}"
        settings = {"split": split, "every": self.frame_stride, "protocol": protocol, "box": self.box}
        self.index = FrameIndex(folder / name, len(BODY16), settings)
        self._order: np.ndarray | None = None
        self._decoder = VideoDecoder()

    def check(self) -> None:
        """Check that the annotation files exist; `prepare` reads them, which takes long."""
        if not self.index.exists():
            for subject in SUBJECTS[self.split]:
                self._labels(subject)

    def prepare(self) -> None:
        """Build the index if it is missing."""
        if not self.index.exists():
            self.index.build(self._clips())

    def _labels(self, subject: int) -> list[Path]:
        folder = self.root / f"S{subject}"
        labels = sorted(folder.glob("**/D2_Positions/*.cdf"))
        if not labels:
            raise UserError(f"{folder} contains no MyPoseFeatures/D2_Positions/<action>.<camera>.cdf")
        return labels

    def _clips(self) -> Iterator[Clip]:
        """Yield the videos with their labels, and log what is skipped in one line."""
        videos = frames = missing = shifted = 0
        for subject in SUBJECTS[self.split]:
            folder = self.root / f"S{subject}"
            labels = self._labels(subject)
            for path in labels:
                action = path.stem.rpartition(".")[0]
                if self.protocol == "strict" and subject == 9 and action in _SHIFTED:
                    shifted += 1
                    continue
                video = folder / "Videos" / f"{path.stem}.mp4"
                if not video.is_file():
                    missing += 1
                    continue
                joints = _read_d2_positions(path)
                numbers = np.arange(0, len(joints), self.frame_stride)
                boxes = np.zeros((len(numbers), 4), np.float32)
                if self.box == "person":
                    boxes = _read_boxes(self._box_file(folder, path.stem), numbers)
                videos, frames = videos + 1, frames + len(numbers)
                yield Clip(str(video.relative_to(self.root)), numbers, joints[numbers], boxes)
        _log.info(
            "Human3.6M %s: %d frames of %d videos; skipped: %d labels without a video, %d shifted labels of subject 9",
            *(self.split, frames, videos, missing, shifted),
        )

    def _box_file(self, folder: Path, stem: str) -> Path:
        path = next(folder.glob(f"**/ground_truth_bb/{stem}.mat"), None)
        if path is None:
            raise UserError(
                f"{folder} contains no MySegmentsMat/ground_truth_bb/{stem}.mat; get the data set's boxes, "
                "or set box: image"
            )
        return path

    @property
    def order(self) -> np.ndarray | None:
        """Return the positions in the index of the samples; None for all, in their order."""
        if self._order is None and self.protocol == "paper" and self.split == "test":
            self._order = sample_with_replacement(len(self.index.records))
        return self._order

    def __len__(self) -> int:
        return len(self.index.records) if self.order is None else len(self.order)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        record = self.index.records[index if self.order is None else self.order[index]]
        path, number = self.root / self.index.clip(int(record["clip"])), int(record["frame"])
        image = self._decoder.frame(path, number, _TIMES_MS)
        body = np.array(record["joints"])
        keypoints_px, visibility = to_skeleton(body, self.skeleton)
        height, width = image.shape[:2]
        if self.protocol == "paper":
            box = published_crop(body, width, height)
            keypoints_px = published_labels(keypoints_px, box)
        else:
            box = (
                whole_image_box(width, height)
                if self.box == "image"
                else padded_box(np.array(record["box"]), self.padding)
            )
        return Sample(
            image=image, box_px=box, name=f"{path}#{number}", keypoints_px=keypoints_px, visibility=visibility
        )

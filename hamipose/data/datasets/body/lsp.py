"""Leeds Sports Pose and its extension, in their official formats.

LSP (Johnson & Everingham, BMVC 2010): `images/im0001.jpg …`, `joints.mat` 3 × 14 × 2000, flag 1 = occluded,
coordinates always valid. LSP-Extended (CVPR 2011): `images/im00001.jpg …`, `joints.mat` 14 × 3 × N, flag 1 = labeled.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.splits import check_protocol, check_split
from hamipose.errors import UserError
from hamipose.geometry.crops import published_letterbox, whole_image_box
from hamipose.io.matlab_file import read_matlab
from hamipose.skeletons import LSP14
from hamipose.types import Sample

__all__ = ["LeedsSports", "LeedsSportsExtended"]


def _read_joints(path: Path, axes: str) -> Float[np.ndarray, "person 14 3"]:
    """Read `joints` of a MATLAB file.

    Args:
        path: the file.
        axes: order of its axes, a permutation of "cjn": coordinate, joint, person.

    Raises:
        UserError: the file cannot be read, or has an unexpected format.
    """
    joints = read_matlab(path, ["joints"], "annotation file", "the data set's joints.mat")["joints"]
    expected = {"c": 3, "j": 14}
    shape = joints.shape
    if joints.dtype.kind not in "fiu":
        raise UserError(f"'joints' in {path} contains {joints.dtype}, expected numbers; is it another data set's file?")
    if len(shape) != 3 or any(shape[axes.index(a)] != n for a, n in expected.items()):
        words = " x ".join(str(expected.get(a, "people")) for a in axes)
        raise UserError(f"'joints' in {path} has shape {shape}, expected {words}; is it another data set's file?")
    return joints.transpose([axes.index(a) for a in "njc"]).astype(np.float64)


class _Leeds(KeypointDataset):
    """One person per image; the box is the whole image, and joints are mapped by name to any body skeleton.

    Args:
        root: folder with `images/` and `joints.mat`.
        first: number of the first image, from 1 as in the file names.
        last: number of the last image; None means the last one of the file.
        skipped: numbers of images to skip.
        skeleton: keypoint order of the samples.
        cache: keep decoded images in memory.
    """

    _axes: str
    _digits: int
    #: Pairs of image numbers that show the same photo; docs/protocols.md explains how they were found.
    _duplicates: tuple[tuple[int, int], ...]

    def __init__(self, root: str, first: int, last: int | None, skipped: set[int], skeleton: str, cache: bool):
        self.root = Path(root)
        self.first = first
        self.last = last
        self.skipped = skipped
        self.skeleton = get_skeleton(skeleton)
        self.cache = cache
        self._loaded: tuple[np.ndarray, np.ndarray] | None = None
        self._numbers = np.zeros(0, np.int64)

    def _visibility(self, flag: Float[np.ndarray, "person 14"]) -> Int[np.ndarray, "person 14"]:
        raise NotImplementedError

    @property
    def labels(self) -> tuple[Float[np.ndarray, "person keypoint 2"], Int[np.ndarray, "person keypoint"]]:
        """Return joints in pixels and visibility of the people of the split, read on first use."""
        if self._loaded is None:
            joints = _read_joints(self.root / "joints.mat", self._axes)
            last = len(joints) if self.last is None else self.last
            if not 1 <= self.first <= last <= len(joints):
                raise UserError(
                    f"images {self.first} to {last} were requested, but {self.root}/joints.mat has {len(joints)} people"
                )
            self._numbers = np.array([n for n in range(self.first, last + 1) if n not in self.skipped])
            joints = joints[self._numbers - 1]
            visibility = self._visibility(joints[..., 2])
            keypoints_px = np.zeros((len(joints), len(self.skeleton), 2), np.float32)
            mapped = np.zeros((len(joints), len(self.skeleton)), np.int64)
            for k, source in enumerate(self.skeleton.map_from(LSP14)):
                if source is not None:
                    keypoints_px[:, k] = joints[:, source, :2]
                    mapped[:, k] = visibility[:, source]
            self._loaded = keypoints_px, mapped
        return self._loaded

    def _path(self, index: int) -> Path:
        _ = self.labels
        return self.root / "images" / f"im{self._numbers[index]:0{self._digits}d}.jpg"

    def prepare(self) -> None:
        """Read the annotations, and check that the first and last image exist."""
        for index in (0, len(self) - 1):
            if not self._path(index).is_file():
                raise UserError(f"image {self._path(index)} does not exist; expected the data set's images/ folder")

    def __len__(self) -> int:
        return len(self.labels[0])

    def __getitem__(self, index: int) -> Sample:
        path = self._path(index)
        image, _ = self.decode(path)
        height, width = image.shape[:2]
        return Sample(
            image=image,
            box_px=whole_image_box(width, height),
            name=str(path),
            keypoints_px=self.labels[0][index],
            visibility=self.labels[1][index],
        )


class LeedsSports(_Leeds):
    """Leeds Sports Pose, 2000 people. Both protocols crop to the whole image.

    Args:
        root: folder with `images/` and `joints.mat`.
        split: "train" (images 1 to 1000), "test" (1001 to 2000), or "all". Nine photos of the training half are also in
            the test half, under other numbers or as other crops: "strict" removes them from "train".
        skeleton: keypoint order of the samples.
        cache: keep decoded images in memory.
        protocol: "strict" follows `split` and labels hidden joints; "paper" has all 2000 images in every split, for
            adaptation and for testing, and treats hidden joints as not labeled.
    """

    _axes, _digits = "cjn", 4
    _duplicates = (
        *((175, 1924), (210, 1100), (285, 1680), (371, 1622), (483, 1211)),
        *((492, 1436), (535, 1233), (550, 1366), (670, 1805)),
    )

    def __init__(
        self,
        root: str,
        split: str = "train",
        skeleton: str = "body16",
        cache: bool = False,
        protocol: str = "strict",
    ):
        splits = {"train": (1, 1000), "test": (1001, 2000), "all": (1, 2000)}
        check_split(split, splits, "LeedsSports")
        self.protocol = check_protocol(protocol)
        first, last = splits["all" if self.protocol == "paper" else split]
        duplicates = {a for a, _ in self._duplicates} if protocol == "strict" and split == "train" else set()
        super().__init__(root, first, last, duplicates, skeleton=skeleton, cache=cache)

    def _visibility(self, flag: Float[np.ndarray, "person 14"]) -> Int[np.ndarray, "person 14"]:
        return np.where(flag > 0, 0 if self.protocol == "paper" else 1, 2)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if self.protocol == "paper":
            height, width = sample.image.shape[:2]
            sample.keypoints_px = published_letterbox(sample.keypoints_px, width, height)
        return sample


class LeedsSportsExtended(_Leeds):
    """Leeds Sports Pose Extended, up to 10,000 people, labeled by crowd workers (some labels are wrong).

    Args:
        root: folder with `images/` and `joints.mat`.
        split: "train" (the first `train_count` images without duplicates of "test"), "test" (the others) or "all".
        train_count: number of the last training image.
        skeleton: keypoint order of the samples.
        cache: keep decoded images in memory.
        protocol: "strict" or "paper", which are the same here: the papers do not use this set.
    """

    _axes, _digits = "jcn", 5
    _duplicates = ((1803, 3959), (2127, 3615))

    def __init__(
        self,
        root: str,
        split: str = "train",
        train_count: int = 3600,
        skeleton: str = "body16",
        cache: bool = False,
        protocol: str = "strict",
    ):
        splits = {"train": (1, train_count), "test": (train_count + 1, None), "all": (1, None)}
        check_split(split, splits, "LeedsSportsExtended")
        self.protocol = check_protocol(protocol)
        duplicates = {a for a, b in self._duplicates if a <= train_count < b} if split == "train" else set()
        super().__init__(root, *splits[split], duplicates, skeleton=skeleton, cache=cache)

    def _visibility(self, flag: Float[np.ndarray, "person 14"]) -> Int[np.ndarray, "person 14"]:
        return np.where(flag > 0, 2, 0)

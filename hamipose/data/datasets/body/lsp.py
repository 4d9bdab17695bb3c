"""Leeds Sports Pose and its extension, from their native layouts.

LSP (Johnson & Everingham, BMVC 2010): `images/im0001.jpg …`, `joints.mat` 3 × 14 × 2000, flag 1 = occluded,
coordinates always valid. LSP-Extended (CVPR 2011): `images/im00001.jpg …`, `joints.mat` 14 × 3 × N, flag 1 = labeled.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.splits import check_protocol
from hamipose.errors import UserError
from hamipose.geometry.crops import published_letterbox, whole_image_box
from hamipose.io.matlab_file import read_matlab
from hamipose.skeletons import LSP14
from hamipose.types import Sample

__all__ = ["LeedsSports", "LeedsSportsExtended"]


def _read_joints(path: Path, axes: str) -> Float[np.ndarray, "person 14 3"]:
    """`joints` of a MATLAB file, whatever the order of its axes is, given as a permutation of "cjn"."""
    joints = read_matlab(path, ["joints"], "annotation file", "the data set's joints.mat")["joints"]
    expected = {"c": 3, "j": 14}
    shape = joints.shape
    if joints.dtype.kind not in "fiu":
        raise UserError(f"'joints' in {path} holds {joints.dtype}, expected numbers; is it another data set's file?")
    if len(shape) != 3 or any(shape[axes.index(a)] != n for a, n in expected.items()):
        words = " x ".join(str(expected.get(a, "people")) for a in axes)
        raise UserError(f"'joints' in {path} has shape {shape}, expected {words}; is it another data set's file?")
    return joints.transpose([axes.index(a) for a in "njc"]).astype(np.float64)


class _Leeds(KeypointDataset):
    """One person a picture, the whole picture is the box, joints mapped by name to any body skeleton.

    Pictures `first` to `last` without those `left_out`, all counted from 1 as in their file names.
    """

    _axes: str
    _digits: int
    #: Pairs of numbers that are the same photo (docs/protocols.md says how they were found).
    _duplicates: tuple[tuple[int, int], ...]

    def __init__(self, root: str, first: int, last: int | None, left_out: set[int], skeleton: str, cache: bool):
        self.root = Path(root)
        self.first = first
        self.last = last
        self.left_out = left_out
        self.skeleton = get_skeleton(skeleton)
        self.cache = cache
        self._loaded: tuple[np.ndarray, np.ndarray] | None = None
        self._numbers = np.zeros(0, np.int64)

    def _visibility(self, flag: Float[np.ndarray, "person 14"]) -> Int[np.ndarray, "person 14"]:
        raise NotImplementedError

    @property
    def labels(self) -> tuple[Float[np.ndarray, "person keypoint 2"], Int[np.ndarray, "person keypoint"]]:
        """Joints in pixels and visibility of the people in this split, read on first use."""
        if self._loaded is None:
            joints = _read_joints(self.root / "joints.mat", self._axes)
            last = len(joints) if self.last is None else self.last
            if not 1 <= self.first <= last <= len(joints):
                raise UserError(
                    f"images {self.first} to {last} asked of {self.root}, whose joints.mat describes {len(joints)}"
                )
            self._numbers = np.array([n for n in range(self.first, last + 1) if n not in self.left_out])
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
    """Leeds Sports Pose, 2000 people. Both protocols show the whole picture.

    Args:
        root: folder with `images/` and `joints.mat`.
        split: "train" (images 1 to 1000), "test" (1001 to 2000), or "all". Nine photos of the training half are in the
            test half too, in other numbers or crops: "strict" leaves them out of "train".
        skeleton: keypoint order of the samples.
        cache: keep decoded pictures in memory.
        protocol: "strict" goes by `split` and counts hidden joints; "paper" has all 2000 images in every split, to
            adapt on and to test on, and takes hidden joints for unlabeled.
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
        if split not in splits:
            raise UserError(f"split of LeedsSports is {split!r}, expected one of {', '.join(splits)}")
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
        split: "train" (the first `train_count` images, less what "test" has too), "test" (the rest) or "all".
        train_count: where the two halves meet.
        skeleton: keypoint order of the samples.
        cache: keep decoded pictures in memory.
        protocol: "strict" or "paper"; the papers do not use this set, and both are alike.
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
        if split not in splits:
            raise UserError(f"split of LeedsSportsExtended is {split!r}, expected one of {', '.join(splits)}")
        self.protocol = check_protocol(protocol)
        duplicates = {a for a, b in self._duplicates if a <= train_count < b} if split == "train" else set()
        super().__init__(root, *splits[split], duplicates, skeleton=skeleton, cache=cache)

    def _visibility(self, flag: Float[np.ndarray, "person 14"]) -> Int[np.ndarray, "person 14"]:
        return np.where(flag > 0, 2, 0)

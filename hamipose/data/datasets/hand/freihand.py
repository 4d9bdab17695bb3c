"""FreiHAND in its official format (v2).

``training/rgb/%08d.jpg`` (224 × 224, centered right hands), ``training_K.json`` (n × 3 × 3) and
``training_xyz.json`` (n × 21 × 3, meters, order of HAND21). Each of the n = 32,560 moments exists in four versions
with different backgrounds: image number = moment + n · version. ``evaluation_{K,xyz}.json`` and ``evaluation/rgb`` have
a single version.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.datasets.hand.base import HandDataset, HandLabels, find_duplicates, published_boxes
from hamipose.data.splits import check_protocol, check_split, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.io.json_file import read_json

__all__ = ["FreiHand"]

#: Green screen, harmonized, recolored with samples, recolored without; in the order of the release.
_VERSIONS = ("gs", "hom", "sample", "auto")
#: Order in which the reference code concatenates the versions before it shuffles them.
_JOINED = ("gs", "auto", "sample", "hom")
_SIDE_PX = 224


def project(joints_m: Float[np.ndarray, "hand joint 3"], k: Float[np.ndarray, "hand 3 3"]) -> np.ndarray:
    """Project points in camera axes: the first two components of K·x divided by the third."""
    pixel = joints_m @ k.swapaxes(1, 2)
    return pixel[..., :2] / pixel[..., 2:]


def _read_array(path: Path, shape: tuple[int, int]) -> Float[np.ndarray, "hand row column"]:
    wanted = f"a list of {shape[0]} x {shape[1]} numbers, as in FreiHAND v2"
    content = read_json(path, wanted)
    try:
        array = np.array(content, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 3 or array.shape[1:] != shape or not len(array) or not np.isfinite(array).all():
        raise UserError(f"{path} has {len(content) if hasattr(content, '__len__') else 1} entries, not {wanted}")
    return array


class FreiHand(HandDataset):
    """FreiHAND (Zimmermann et al., ICCV 2019): one right hand per image.

    ``paper`` shuffles all versions of the training folder and tests a fifth, at most 3200: training then contains most
    test frames in another version. Crops are around the true keypoints, and every sample is mirrored.
    ``strict`` trains on the first 375/407 of the moments (30,000) and tests the others; all versions of a moment are on
    the same side. "train" excludes moments that "test" shows from another camera
    (:func:`hamipose.data.datasets.hand.base.find_duplicates`). The crop is the whole image, which needs no labels;
    nothing is mirrored. "evaluation" is the official test set.

    Args:
        root: folder of the release, with ``training`` and its JSON files.
        split: "train", "test", "all", or, under ``strict``, "evaluation".
        protocol: "strict" or "paper".
        versions: some of gs, hom, sample and auto; default: all.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        protocol: str = "strict",
        versions: list[str] | None = None,
        cache: bool = False,
    ):
        paper = check_protocol(protocol) == "paper"
        check_split(split, ("train", "test", "all", *(() if paper else ("evaluation",))), "FreiHand")
        if versions is not None and (not versions or not set(versions) <= set(_VERSIONS)):
            raise UserError(f"versions of FreiHand are {versions}, expected some of {', '.join(_VERSIONS)}")
        super().__init__(root, paper, cache)
        self.split = split
        self.versions = tuple(versions or _VERSIONS)

    @property
    def _folder(self) -> str:
        return "evaluation" if self.split == "evaluation" else "training"

    def path(self, file: int | bytes) -> Path:
        """Return the path of an image."""
        return self.root / self._folder / "rgb" / f"{int(file):08d}.jpg"

    def read(self) -> HandLabels:
        """Read the labels of the split."""
        intrinsics = _read_array(self.root / f"{self._folder}_K.json", (3, 3))
        joints_m = _read_array(self.root / f"{self._folder}_xyz.json", (21, 3))
        if len(intrinsics) != len(joints_m):
            raise UserError(
                f"{self._folder}_K.json has {len(intrinsics)} entries and {self._folder}_xyz.json {len(joints_m)} in "
                f"{self.root}; expected the same number"
            )
        behind = np.flatnonzero((joints_m[..., 2] <= 0).any(1))
        if len(behind):
            raise UserError(f"entry {behind[0]} of {self._folder}_xyz.json in {self.root} lies behind the camera")
        keypoints_px, count = project(joints_m, intrinsics), len(joints_m)
        if self.split == "evaluation":
            moment, version = np.arange(count), np.zeros(count, np.int64)
        elif self.paper:
            moment, version = self._paper(count)
        else:
            moment, version = self._strict(joints_m)
        boxes = published_boxes(keypoints_px, _SIDE_PX, _SIDE_PX) if self.paper else np.zeros((count, 4), np.float32)
        inside = ((keypoints_px >= -0.5) & (keypoints_px <= _SIDE_PX - 0.5)).all(-1)
        return HandLabels(
            file=(moment + count * version).astype(np.int32),
            keypoints_px=keypoints_px.astype(np.float32)[moment],
            visibility=np.where(inside | self.paper, 2, 0).astype(np.uint8)[moment],
            box_px=boxes[moment],
            mirrored=np.full(len(moment), self.paper),
        )

    def _paper(self, count: int) -> tuple[Int[np.ndarray, " hand"], Int[np.ndarray, " hand"]]:
        """Return moment and version of each sample in RegDA's split."""
        versions = [v for v in _JOINED if v in self.versions]
        order = shuffled(count * len(versions))
        held_out = held_out_count(len(order))
        chosen = {"train": order[held_out:], "test": order[:held_out], "all": order}[self.split]
        return chosen % count, np.array([_VERSIONS.index(v) for v in versions])[chosen // count]

    def _strict(
        self, joints_m: Float[np.ndarray, "moment 21 3"]
    ) -> tuple[Int[np.ndarray, " hand"], Int[np.ndarray, " hand"]]:
        """Return moment and version of each sample, without any moment on both sides."""
        moment = np.arange(len(joints_m))
        end = len(joints_m) * 375 // 407  # 30,000 of 32,560
        if self.split == "test":
            moment = moment[end:]
        elif self.split == "train":
            moment = moment[:end]
            moment = moment[~find_duplicates(joints_m[:end], joints_m[end:])]
        versions = [_VERSIONS.index(v) for v in self.versions]
        return np.tile(moment, len(versions)), np.repeat(versions, len(moment))

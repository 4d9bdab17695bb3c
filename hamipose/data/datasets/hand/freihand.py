"""FreiHAND, from its official release (v2).

``training/rgb/%08d.jpg`` (224 × 224, right hands in the middle), ``training_K.json`` (n × 3 × 3) and
``training_xyz.json`` (n × 21 × 3, meters, order of HAND21). Each of the n = 32,560 moments exists in four versions of
its background: picture number = moment + n · version. ``evaluation_{K,xyz}.json`` and ``evaluation/rgb`` likewise, in
one version.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.datasets.hand.base import HandDataset, HandLabels, check_split, find_duplicates, published_boxes
from hamipose.data.splits import check_protocol, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.io.json_file import read_json

__all__ = ["FreiHand"]

#: Green screen, harmonized, recolored with samples, recolored without; positions are the release's.
_VERSIONS = ("gs", "hom", "sample", "auto")
#: The order in which the reference code joins the versions before it shuffles them.
_JOINED = ("gs", "auto", "sample", "hom")
_SIDE_PX = 224


def project(joints_m: Float[np.ndarray, "hand joint 3"], k: Float[np.ndarray, "hand 3 3"]) -> np.ndarray:
    """Pixels of points in the camera's axes: the first two of K·x over the third."""
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
    """FreiHAND (Zimmermann et al., ICCV 2019): one right hand a picture.

    ``paper``: all versions of the training folder, shuffled, a fifth (at most 3200) tested on, so that most frames
    tested on are trained on in another version; crops around the true keypoints; every sample mirrored.
    ``strict``: "train" is the moments before 375/407 of the release (30,000), "test" those after it, every version of a
    moment on the same side, and moments that "test" shows from another camera left out of "train" (found by the hand's
    shape, see :func:`hamipose.data.datasets.hand.base.find_duplicates`); the whole picture is the crop, as a user would have it; nothing
    is mirrored. "evaluation" is the official test set.

    Args:
        root: folder of the release, with ``training`` and its JSON files.
        split: "train", "test", "all", or, under ``strict``, "evaluation".
        protocol: "strict" or "paper".
        versions: which of gs, hom, sample and auto; all where not given.
        cache: keep decoded pictures in memory.
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
        return self.root / self._folder / "rgb" / f"{int(file):08d}.jpg"

    def read(self) -> HandLabels:
        intrinsics = _read_array(self.root / f"{self._folder}_K.json", (3, 3))
        joints_m = _read_array(self.root / f"{self._folder}_xyz.json", (21, 3))
        if len(intrinsics) != len(joints_m):
            raise UserError(
                f"{self._folder}_K.json has {len(intrinsics)} entries and {self._folder}_xyz.json {len(joints_m)} in "
                f"{self.root}; expected as many"
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
        """Moment and version of each sample as RegDA draws them."""
        joined = [v for v in _JOINED if v in self.versions]
        order = shuffled(count * len(joined))
        aside = held_out_count(len(order))
        chosen = {"train": order[aside:], "test": order[:aside], "all": order}[self.split]
        return chosen % count, np.array([_VERSIONS.index(v) for v in joined])[chosen // count]

    def _strict(
        self, joints_m: Float[np.ndarray, "moment 21 3"]
    ) -> tuple[Int[np.ndarray, " hand"], Int[np.ndarray, " hand"]]:
        """Moment and version of each sample, no moment on both sides."""
        moment = np.arange(len(joints_m))
        end = len(joints_m) * 375 // 407  # 30,000 of 32,560
        if self.split == "test":
            moment = moment[end:]
        elif self.split == "train":
            moment = moment[:end]
            moment = moment[~find_duplicates(joints_m[:end], joints_m[end:])]
        versions = [_VERSIONS.index(v) for v in self.versions]
        return np.tile(moment, len(versions)), np.repeat(versions, len(moment))

"""SURREAL as the field uses it: square crops with 24 projected joints, as RegDA's authors processed the data set.

``{train,val,test}/run{0,1,2}.json`` are lists of ``{"name", "keypoint2d" (24 × 2), …}``, and an image lies in
``<split>/run<i>/<name>``. The official release is read by :mod:`hamipose.data.datasets.body.surreal_raw`.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.datasets.body.smpl24 import SMPL24, pick_joints
from hamipose.data.splits import check_protocol, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.geometry.crops import published_labels, whole_image_box
from hamipose.io.file_type import describe_error
from hamipose.io.json_file import read_json
from hamipose.types import Sample

__all__ = ["Surreal"]


class Surreal(KeypointDataset):
    """Rendered people of SURREAL (Varol et al., CVPR 2017), processed by the authors of RegDA.

    Args:
        root: folder with ``train``, ``val`` and ``test``.
        split: "train" leaves out what the published split sets aside, "test" is the published test set, "val" all of
            val, a part of SURREAL's test folder: measure on one of the two only.
        skeleton: body16; others get the keypoints of the same names.
        cache: keep decoded pictures in memory.
        protocol: "strict" has SMPL's shoulders as shoulders, "paper" its collar joints; crops and splits are the same.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        skeleton: str = "body16",
        cache: bool = False,
        protocol: str = "strict",
    ):
        if split not in ("train", "val", "test"):
            raise UserError(f"split of Surreal is {split!r}, expected train, val or test")
        self.root = Path(root)
        self.split = split
        self.skeleton = get_skeleton(skeleton)
        self.cache = cache
        self.protocol = check_protocol(protocol)
        self._people: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def people(self) -> tuple[np.ndarray, Float[np.ndarray, "person 24 2"]]:
        """File (below the split's folder, as bytes) and joints of each person, in arrays, read on first use."""
        if self._people is None:
            parts = [_read(self.root / self.split / f"run{i}.json", f"run{i}") for i in range(3)]
            files = np.concatenate([files for files, _ in parts])
            joints = np.concatenate([joints for _, joints in parts])
            order = shuffled(len(files))
            aside = held_out_count(len(files))
            kept = {"train": order[aside:], "val": order, "test": order[:aside]}[self.split]
            self._people = files[kept], joints[kept]
        return self._people

    def _path(self, index: int) -> Path:
        return self.root / self.split / bytes(self.people[0][index]).decode()

    def prepare(self) -> None:
        if len(self) == 0 or not self._path(0).is_file():
            where = self._path(0) if len(self) else self.root / self.split
            raise UserError(f"image {where} does not exist; expected SURREAL as processed for RegDA")

    def __len__(self) -> int:
        return len(self.people[0])

    def __getitem__(self, index: int) -> Sample:
        path = self._path(index)
        image, _ = self.decode(path)
        box = whole_image_box(image.shape[1], image.shape[0])
        keypoints_px, visibility = pick_joints(self.people[1][index], self.skeleton, self.protocol)
        if self.protocol == "paper":
            keypoints_px = published_labels(keypoints_px, box)
        return Sample(image=image, box_px=box, name=str(path), keypoints_px=keypoints_px, visibility=visibility)


def _read(path: Path, folder: str) -> tuple[np.ndarray, Float[np.ndarray, "person 24 2"]]:
    """Files and joints of one list.

    Raises:
        UserError: it cannot be read, or has another form.
    """
    entries = read_json(path, "SURREAL as processed for RegDA")
    try:
        joints = np.array([e["keypoint2d"] for e in entries], np.float32)
        files = np.array([f"{folder}/{e['name']}".encode() for e in entries])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"annotation file {path} has another form ({describe_error(error)}); expected a list of name and keypoint2d"
        ) from None
    if joints.shape[1:] != (len(SMPL24), 2):
        raise UserError(f"keypoint2d in {path} has shape {joints.shape}, expected people x 24 x 2")
    if not np.isfinite(joints).all():
        raise UserError(f"keypoint2d in {path} holds numbers that are not finite; expected pixels")
    return files, joints

"""SURREAL as processed by the authors of RegDA: square crops with 24 projected joints; SMPL's joints as keypoints.

``{train,val,test}/run{0,1,2}.json`` are lists of ``{"name", "keypoint2d" (24 × 2), …}``; the images are
``<split>/run<i>/<name>``. The official release is read by :mod:`hamipose.data.datasets.body.surreal_raw`.

SURREAL's images are mirrored: its camera matrix has determinant −1, and its own demo labels the limbs at the left edge
of a person who faces the camera as SMPL's left ones. A limb that looks like a right hand is SMPL's left hand. Both
protocols therefore fill right keypoints with left joints, as do the training code of SURREAL's authors and RegDA.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.splits import check_protocol, check_split, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.geometry.crops import published_labels, whole_image_box
from hamipose.io.file_type import describe_error
from hamipose.io.json_file import read_json
from hamipose.skeletons import BODY16, Skeleton
from hamipose.types import Sample

__all__ = ["SMPL24", "Surreal", "mirrored_smpl", "pick_joints"]

SMPL24 = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hand", "right_hand"),
)


def mirrored_smpl(protocol: str) -> list[int]:
    """Return, for each keypoint of BODY16, the index of SMPL's joint that shows it in a mirrored image.

    For shoulders, "strict" uses SMPL's shoulder joints and "paper" its collar joints.

    >>> [SMPL24[j] for j in mirrored_smpl("strict")][10:14]
    ['left_wrist', 'left_elbow', 'left_shoulder', 'right_shoulder']
    """

    def source(keypoint: str) -> str:
        side, _, part = keypoint.partition("_")
        if not part:
            return {"thorax": "spine3"}.get(keypoint, keypoint)
        part = "collar" if part == "shoulder" and protocol == "paper" else part
        return f"{'left' if side == 'right' else 'right'}_{part}"

    return [SMPL24.index(source(keypoint)) for keypoint in BODY16.keypoints]


def pick_joints(
    joints_px: Float[np.ndarray, "joint 2"], skeleton: Skeleton, protocol: str
) -> tuple[Float[np.ndarray, "keypoint 2"], Int[np.ndarray, " keypoint"]]:
    """Return keypoints and visibility of a skeleton; all joints count as visible, as in SURREAL."""
    keypoints_px = np.zeros((len(skeleton), 2), np.float32)
    visibility = np.zeros(len(skeleton), np.int64)
    order = mirrored_smpl(protocol)
    for k, source in enumerate(skeleton.map_from(BODY16)):
        if source is not None:
            keypoints_px[k] = joints_px[order[source]]
            visibility[k] = 2
    return keypoints_px, visibility


class Surreal(KeypointDataset):
    """Rendered people of SURREAL (Varol et al., CVPR 2017), processed by the authors of RegDA.

    Args:
        root: folder with ``train``, ``val`` and ``test``.
        split: "train" without the part that the published split holds out, "test" (the published test set) or "val".
            Val is a part of SURREAL's test folder: evaluate on only one of the two.
        skeleton: keypoint order; keypoints are matched by name, those that BODY16 lacks are not labeled.
        cache: keep decoded images in memory.
        protocol: "strict" uses SMPL's shoulder joints as shoulders, "paper" its collar joints; the rest is the same.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        skeleton: str = "body16",
        cache: bool = False,
        protocol: str = "strict",
    ):
        check_split(split, ("train", "val", "test"), "Surreal")
        self.root = Path(root)
        self.split = split
        self.skeleton = get_skeleton(skeleton)
        self.cache = cache
        self.protocol = check_protocol(protocol)
        self._people: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def people(self) -> tuple[np.ndarray, Float[np.ndarray, "person 24 2"]]:
        """Return file (below the split's folder, as bytes) and joints of each person, read on first use."""
        if self._people is None:
            parts = [_read(self.root / self.split / f"run{i}.json", f"run{i}") for i in range(3)]
            files = np.concatenate([files for files, _ in parts])
            joints = np.concatenate([joints for _, joints in parts])
            order = shuffled(len(files))
            held_out = held_out_count(len(files))
            chosen = {"train": order[held_out:], "val": order, "test": order[:held_out]}[self.split]
            self._people = files[chosen], joints[chosen]
        return self._people

    def _path(self, index: int) -> Path:
        return self.root / self.split / bytes(self.people[0][index]).decode()

    def prepare(self) -> None:
        """Read the annotations, and check that the first image exists."""
        if len(self) == 0 or not self._path(0).is_file():
            path = self._path(0) if len(self) else self.root / self.split
            raise UserError(f"image {path} does not exist; expected SURREAL as processed for RegDA")

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
    """Read files and joints of one list.

    Raises:
        UserError: it cannot be read, or has an unexpected format.
    """
    entries = read_json(path, "SURREAL as processed for RegDA")
    try:
        joints = np.array([e["keypoint2d"] for e in entries], np.float32)
        files = np.array([f"{folder}/{e['name']}".encode() for e in entries])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"annotation file {path} has an unexpected format ({describe_error(error)}); expected name and keypoint2d"
        ) from None
    if joints.shape[1:] != (len(SMPL24), 2):
        raise UserError(f"keypoint2d in {path} has shape {joints.shape}, expected people x 24 x 2")
    if not np.isfinite(joints).all():
        raise UserError(f"keypoint2d in {path} contains numbers that are not finite; expected pixels")
    return files, joints

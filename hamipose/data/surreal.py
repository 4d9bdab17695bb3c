"""SURREAL as the field uses it: square crops with 24 projected joints, as RegDA's authors processed the data set.

``{train,val,test}/run{0,1,2}.json`` are lists of ``{"name", "keypoint2d" (24 × 2), …}``, and an image lies in
``<split>/run<i>/<name>``.
"""

import json
import random
from pathlib import Path

import numpy as np

from hamipose.data.base import KeypointDataset, named_skeleton
from hamipose.errors import InputError
from hamipose.skeletons import BODY16
from hamipose.types import Sample

__all__ = ["Surreal"]

_SMPL24 = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hand", "right_hand"),
)


def _smpl_name(keypoint: str) -> str:
    """Which of SMPL's joints the published map puts into a slot of BODY16.

    The processed images are mirrored, so left joints fill right slots; and the "shoulders" are the collar joints.
    """
    side, _, part = keypoint.partition("_")
    if not part:
        return {"thorax": "spine3"}.get(keypoint, keypoint)
    return f"{'left' if side == 'right' else 'right'}_{'collar' if part == 'shoulder' else part}"


class Surreal(KeypointDataset):
    """Rendered people of SURREAL (Varol et al., CVPR 2017), processed by the authors of RegDA.

    Args:
        root: folder with ``train``, ``val`` and ``test``.
        split: "train" leaves out what the published split sets aside, "test" is the
            published test set, "val" all of val.
        skeleton: body16; others get the keypoints of the same names.
        cache: keep decoded pictures in memory.
    """

    def __init__(self, root: str, split: str = "train", skeleton: str = "body16", cache: bool = False):
        if split not in ("train", "val", "test"):
            raise InputError(f"split of Surreal is {split!r}, expected train, val or test")
        self.root = Path(root)
        self.split = split
        self.skeleton = named_skeleton(skeleton)
        self.cache = cache
        self._people: list[tuple[Path, np.ndarray]] | None = None

    @property
    def people(self) -> list[tuple[Path, np.ndarray]]:
        """Image and joints (24 × 2 pixels) of each person of the split, read on first use."""
        if self._people is None:
            found: list[tuple[Path, np.ndarray]] = []
            for run in ("run0", "run1", "run2"):
                path = self.root / self.split / f"{run}.json"
                try:
                    entries = json.loads(path.read_text())
                    joints = np.array([e["keypoint2d"] for e in entries], np.float32)
                    names = [e["name"] for e in entries]
                except OSError as error:
                    raise InputError(
                        f"annotation file {path} cannot be read ({error.strerror}); expected SURREAL as processed for "
                        "RegDA"
                    ) from None
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(
                        f"annotation file {path} has another form ({type(error).__name__}: {error}); expected a list "
                        "of name and keypoint2d"
                    ) from None
                if joints.shape[1:] != (24, 2):
                    raise InputError(f"keypoint2d in {path} has shape {joints.shape}, expected people x 24 x 2")
                found += [(self.root / self.split / run / n, j) for n, j in zip(names, joints, strict=True)]
            # The published split: a shuffle with this seed, of which at most 3200 are set aside.
            random.Random(42).shuffle(found)
            aside = min(len(found) // 5, 3200)
            self._people = {"train": found[aside:], "val": found, "test": found[:aside]}[self.split]
        return self._people

    def prepare(self) -> None:
        if not self.people or not self.people[0][0].is_file():
            where = self.people[0][0] if self.people else self.root / self.split
            raise InputError(f"image {where} does not exist; expected SURREAL as processed for RegDA")

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> Sample:
        path, joints = self.people[index]
        image, _ = self.decode(path)
        height, width = image.shape[:2]
        keypoints_px = np.zeros((len(self.skeleton), 2), np.float32)
        visibility = np.zeros(len(self.skeleton), np.int64)
        for k, source in enumerate(self.skeleton.map_from(BODY16)):
            if source is not None:
                keypoints_px[k] = joints[_SMPL24.index(_smpl_name(BODY16.keypoints[source]))]
                visibility[k] = 2
        return Sample(
            image=image,
            box_px=np.array([0, 0, width, height], np.float32),
            name=str(path),
            keypoints_px=keypoints_px,
            visibility=visibility,
        )

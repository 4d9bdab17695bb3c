"""Photos of one person's right hand: ``images/00000.jpg …``, ``pose_gt.mat`` and ``params.mat``.

``pose_gt`` is n × 21 × 3, in camera axes and the order of HAND21; ``cam_param`` contains fx, fy, u0, v0 of the
uncropped image and ``bbox`` x, y, w, h of the square that was cropped and scaled to 256 × 256.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.data.datasets.hand.base import HandDataset, HandLabels
from hamipose.data.splits import check_split
from hamipose.errors import UserError
from hamipose.io.matlab_file import read_matlab

__all__ = ["HandPhotos"]

_SIDE_PX = 256


def _read_mat(path: Path, name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    array = read_matlab(path, [name], "annotation file", f"the set's {path.name}")[name]
    expected = f"n x {' x '.join(map(str, shape))} finite numbers"
    if not np.issubdtype(array.dtype, np.number) or array.shape[1:] != shape or not np.isfinite(array).all():
        raise UserError(f"{name!r} in {path} is {array.dtype} of shape {array.shape}, expected {expected}")
    return array.astype(np.float64)


class HandPhotos(HandDataset):
    """583 photos of one right hand in one scene; the crop is the whole image.

    Args:
        root: folder with ``images``, ``pose_gt.mat`` and ``params.mat``.
        split: "train" (photos 1 to 383), "test" (384 to the last, 583) or "all". They are in temporal order, so
            only the frames at the boundary are similar.
        cache: keep decoded images in memory.
    """

    def __init__(self, root: str, split: str = "train", cache: bool = False):
        check_split(split, ("train", "test", "all"), "HandPhotos")
        super().__init__(root, paper=False, cache=cache)
        self.split = split

    def path(self, file: int | bytes) -> Path:
        """Return the path of an image."""
        return self.root / "images" / f"{int(file):05d}.jpg"

    def read(self) -> HandLabels:
        """Read the labels of the split."""
        joints = _read_mat(self.root / "pose_gt.mat", "pose_gt", (21, 3))
        camera = _read_mat(self.root / "params.mat", "cam_param", (4,))
        crop = _read_mat(self.root / "params.mat", "bbox", (4,))
        if not len(joints) == len(camera) == len(crop):
            raise UserError(
                f"{self.root} has {len(joints)} poses, {len(camera)} cameras and {len(crop)} boxes; expected as many"
            )
        scale = _SIDE_PX / crop[:, None, 2:3]
        middle = camera[:, None, 2:] - crop[:, None, :2]
        keypoints_px = (joints[..., :2] / joints[..., 2:] * camera[:, None, :2] + middle) * scale
        chosen = {"train": slice(0, 383), "test": slice(383, None), "all": slice(None)}[self.split]
        inside = ((keypoints_px >= -0.5) & (keypoints_px <= _SIDE_PX - 0.5)).all(-1)
        count = len(joints)
        labels = HandLabels(
            file=np.arange(count, dtype=np.int32),
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.where(inside, 2, 0).astype(np.uint8),
            box_px=np.zeros((count, 4), np.float32),
            mirrored=np.zeros(count, bool),
        )
        return labels.select(np.arange(count)[chosen])

"""The Rendered Hand Pose data set in its official format (``RHD_published_v2``).

``{training,evaluation}/color/%05d.png`` (320 × 320) and ``anno_{training,evaluation}.pickle``: image number →
``uv_vis`` (42 × 3: x, y, visible), ``xyz``, ``K``. Rows 0–20 are the left hand, 21–41 the right one: the wrist, then
each finger from its tip to the palm.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.data.datasets.hand.base import HandDataset, HandLabels, published_boxes
from hamipose.data.splits import check_protocol, check_split
from hamipose.errors import UserError
from hamipose.geometry.crops import keypoint_box
from hamipose.io.safe_pickle import load_pickle

__all__ = ["RenderedHands"]

_SIDE_PX = 320
_FOLDERS = {"train": ("training",), "test": ("evaluation",), "all": ("training", "evaluation")}
# Row of each keypoint of HAND21: the wrist, then the four joints of each finger in reverse order.
_ORDER = [0, *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1))]


def _corners(box_px: Float[np.ndarray, "hand 4"]) -> Float[np.ndarray, "hand 4"]:
    return np.concatenate([box_px[:, :2], box_px[:, :2] + box_px[:, 2:]], 1)


def _area(corners: Float[np.ndarray, "hand 4"]) -> Float[np.ndarray, " hand"]:
    """Return the areas of boxes whose right and bottom are their last pixels."""
    return np.maximum(corners[:, 2:] - corners[:, :2] + 1, 0).prod(1)


def select_hands(
    own: Float[np.ndarray, "hand 21 3"], other: Float[np.ndarray, "hand 21 3"]
) -> tuple[Bool[np.ndarray, " hand"], Float[np.ndarray, "hand 4"]]:
    """Return which hands RegDA uses, and their crops.

    A hand is used if its crop is larger than 64 pixels, more than 16 of its joints are visible, and the keypoint box of
    the other hand covers less than 0.3 of the crop.

    Args:
        own: x, y and visibility flag of each joint.
        other: the same for the other hand in the image.
    """
    box = published_boxes(own[..., :2], _SIDE_PX, _SIDE_PX)
    crop, rival = _corners(box), _corners(keypoint_box(other[..., :2]))
    shared = np.concatenate([np.maximum(crop[:, :2], rival[:, :2]), np.minimum(crop[:, 2:], rival[:, 2:])], 1)
    is_large, is_visible = box[:, 2] > 64, own[..., 2].sum(1) > 16
    return is_large & is_visible & (_area(shared) < 0.3 * _area(crop)), box


def _read_pickle(path: Path) -> tuple[Int[np.ndarray, " image"], Float[np.ndarray, "image 42 3"]]:
    content = load_pickle(path)
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{path} has a {type(content).__name__} of {len(content) if hasattr(content, '__len__') else 1}, expected "
            "a dictionary of images, as in RHD_published_v2"
        )
    labels = []
    for number, annotation in content.items():
        try:
            label = np.asarray(annotation["uv_vis"])
            is_valid = (
                label.shape == (42, 3) and np.issubdtype(label.dtype, np.number) and bool(np.isfinite(label).all())
            )
        except (KeyError, TypeError, IndexError, ValueError):
            label, is_valid = None, False
        if label is None or not is_valid or not isinstance(number, int | np.integer):
            content_type = "nothing" if label is None else f"{label.dtype} {label.shape}"
            raise UserError(f"image {number!r} in {path} has {content_type} as uv_vis, expected 42 x 3 finite numbers")
        labels.append(label)
    stacked = np.stack(labels)
    floating = stacked if np.issubdtype(stacked.dtype, np.floating) else stacked.astype(np.float64)
    return np.fromiter(content, np.int64, len(content)), floating


class RenderedHands(HandDataset):
    """Rendered Hand Pose (RHD; Zimmermann & Brox, ICCV 2017): one sample per hand.

    Both protocols use the release's own folders, which share neither characters nor actions, the hands that RegDA uses
    (:func:`select_hands`), and RegDA's crop around the keypoints: this set is a labeled source, so its crops may depend
    on its labels. ``paper`` mirrors right hands, so that all are left ones, and treats joints that are not visible as
    not labeled. ``strict`` does not mirror, and labels joints inside the image that are not visible as hidden.

    Args:
        root: the folder ``RHD_published_v2``.
        split: "train" (training), "test" (evaluation) or "all".
        protocol: "strict" or "paper".
        hands: "both", "left" or "right", before mirroring.
        cache: keep decoded images in memory.
    """

    def __init__(
        self, root: str, split: str = "train", protocol: str = "strict", hands: str = "both", cache: bool = False
    ):
        check_split(split, tuple(_FOLDERS), "RenderedHands")
        if hands not in ("both", "left", "right"):
            raise UserError(f"hands of RenderedHands is {hands!r}, expected both, left or right")
        super().__init__(root, check_protocol(protocol) == "paper", cache)
        self.split = split
        self.hands = hands

    def path(self, file: int | bytes) -> Path:
        """Return the path of an image."""
        folder, number = ("training", int(file)) if int(file) >= 0 else ("evaluation", -int(file) - 1)
        return self.root / folder / "color" / f"{number:05d}.png"

    def read(self) -> HandLabels:
        """Read the labels of the split."""
        parts = [self._read_folder(folder) for folder in _FOLDERS[self.split]]
        columns = zip(*((t.file, t.keypoints_px, t.visibility, t.box_px, t.mirrored) for t in parts), strict=True)
        return HandLabels(*(np.concatenate(c) for c in columns))

    def _read_folder(self, folder: str) -> HandLabels:
        numbers, labels = _read_pickle(self.root / folder / f"anno_{folder}.pickle")
        # The left hand of each image is followed by its right hand, as in the reference code.
        hands = np.stack([labels[:, :21][:, _ORDER], labels[:, 21:][:, _ORDER]], 1)
        is_right = np.tile([False, True], len(numbers))
        is_used, boxes = select_hands(hands.reshape(-1, 21, 3), hands[:, ::-1].reshape(-1, 21, 3))
        if self.hands != "both":
            is_used &= is_right == (self.hands == "right")
        chosen = hands.reshape(-1, 21, 3)[is_used]
        keypoints_px, is_visible = chosen[..., :2], chosen[..., 2] > 0
        inside = ((keypoints_px >= -0.5) & (keypoints_px <= _SIDE_PX - 0.5)).all(-1)
        hidden = np.where(inside & (not self.paper), 1, 0)
        files = np.repeat(numbers if folder == "training" else -numbers - 1, 2)[is_used]
        return HandLabels(
            file=files.astype(np.int32),  # image numbers of the evaluation folder are stored as -1, -2, …
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.where(is_visible, 2, hidden).astype(np.uint8),
            box_px=boxes[is_used],
            mirrored=is_right[is_used] & self.paper,
        )

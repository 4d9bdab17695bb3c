"""Hand-3D-Studio as processed by the authors of RegDA: crops around hands (``H3D_crop``).

``annotation.json``: a list of ``{"name", "keypoint2d" (21 × 2), "keypoint3d" (21 × 3), "intrinsic_matrix",
"without_object"}``; images are in ``part1`` to ``part5``, and ``name`` is relative to the root. The joints are in the
order of HAND21. The cropping procedure was never published.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.datasets.hand.base import HandDataset, HandLabels, find_duplicates
from hamipose.data.splits import check_protocol, check_split, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.io.json_file import read_json

__all__ = ["Hand3DStudio"]

_EXPECTED = "a list of name, keypoint2d, keypoint3d and without_object, as in H3D_crop/annotation.json"


def _column(entries: list, key: str, shape: tuple[int, ...], path: Path) -> Float[np.ndarray, " hand *shape"]:
    """Return one field of all entries.

    Raises:
        UserError: an entry lacks it, or it has a wrong shape or numbers that are not finite.
    """
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or key not in entry:
            raise UserError(f"entry {i} of {path} has no {key}; expected {_EXPECTED}")
    try:
        column = np.array([e[key] for e in entries], np.float64)
    except (TypeError, ValueError):
        column = np.empty(0)
    if column.shape == (len(entries), *shape) and np.isfinite(column).all():
        return column
    for i, entry in enumerate(entries):  # name the first wrong entry
        try:
            value = np.array(entry[key], np.float64)
            is_valid = value.shape == shape and bool(np.isfinite(value).all())
        except (TypeError, ValueError):
            is_valid = False
        if not is_valid:
            expected = " x ".join(map(str, shape)) or "one"
            raise UserError(f"{key} of entry {i} of {path} is not {expected} finite numbers")
    raise UserError(f"{key} in {path} has shape {column.shape}; expected {_EXPECTED}")


class Hand3DStudio(HandDataset):
    """Hand-3D-Studio (H3D; Zhao et al., 2020), processed by the authors of RegDA: hands recorded by many cameras.

    In both protocols the crop is the whole image; nothing is mirrored. ``paper`` shuffles the frames and tests a fifth,
    at most 3200: neighbors in time and the same moment from other cameras are then on both sides. ``strict`` tests
    `test_parts`, and excludes from "train" all images of moments that "test" shows, too
    (:func:`hamipose.data.datasets.hand.base.find_duplicates`).

    Args:
        root: the folder ``H3D_crop``.
        split: "train", "test" or "all".
        protocol: "strict" or "paper".
        task: "noobject" (empty hands), "object" or "all".
        test_parts: folders that ``strict`` tests.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        protocol: str = "strict",
        task: str = "noobject",
        test_parts: tuple[str, ...] = ("part5",),
        cache: bool = False,
    ):
        check_split(split, ("train", "test", "all"), "Hand3DStudio")
        if task not in ("noobject", "object", "all"):
            raise UserError(f"task of Hand3DStudio is {task!r}, expected noobject, object or all")
        super().__init__(root, check_protocol(protocol) == "paper", cache)
        self.split = split
        self.task = task
        self.test_parts = tuple(test_parts)

    def path(self, file: int | bytes) -> Path:
        """Return the path of an image."""
        return self.root / bytes(file).decode()

    def read(self) -> HandLabels:
        """Read the labels of the split."""
        path = self.root / "annotation.json"
        entries = read_json(path, _EXPECTED)
        if not isinstance(entries, list) or not entries:
            raise UserError(f"annotation file {path} contains no list of hands; expected {_EXPECTED}")
        keypoints_px = _column(entries, "keypoint2d", (21, 2), path)
        empty = _column(entries, "without_object", (), path) == 1
        if not all(isinstance(e.get("name"), str) for e in entries):
            raise UserError(f"an entry of {path} has no image name; expected {_EXPECTED}")
        names = np.array([e["name"].encode() for e in entries])
        task = {"noobject": empty, "object": ~empty, "all": np.ones(len(entries), bool)}[self.task]
        candidates = np.flatnonzero(task)
        if self.paper:
            order = candidates[shuffled(len(candidates))]
            held_out = held_out_count(len(order))
            chosen = {"train": order[held_out:], "test": order[:held_out], "all": order}[self.split]
        else:
            joints_m = _column(entries, "keypoint3d", (21, 3), path)
            chosen = self._strict(candidates, names, joints_m)
        count = len(entries)
        labels = HandLabels(
            file=names,
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.full((count, 21), 2, np.uint8),
            box_px=np.zeros((count, 4), np.float32),
            mirrored=np.zeros(count, bool),
        )
        return labels.select(chosen)

    def _strict(
        self, candidates: Int[np.ndarray, " candidate"], names: np.ndarray, joints_m: Float[np.ndarray, "hand 21 3"]
    ) -> Int[np.ndarray, " chosen"]:
        """Return the indices of the samples of this split."""
        parts = np.array([bytes(n).split(b"/")[0].decode() for n in names[candidates]])
        missing = [p for p in self.test_parts if p not in parts]
        if missing:
            raise UserError(
                f"test_parts of Hand3DStudio contains {', '.join(missing)}, but {self.root} has "
                f"{', '.join(sorted(set(parts))[:8])}"
            )
        is_test = np.isin(parts, self.test_parts)
        if self.split == "all":
            return candidates
        if self.split == "test":
            return candidates[is_test]
        rest = candidates[~is_test]
        return rest[~find_duplicates(joints_m[rest], joints_m[candidates[is_test]])]

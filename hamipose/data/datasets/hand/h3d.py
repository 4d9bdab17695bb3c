"""Hand-3D-Studio as the field has it: crops around hands, processed by the authors of RegDA (``H3D_crop``).

``annotation.json``: a list of ``{"name", "keypoint2d" (21 × 2), "keypoint3d" (21 × 3), "intrinsic_matrix",
"without_object"}``; pictures in ``part1`` to ``part5``, ``name`` being relative to the root. The joints come in the
order of HAND21. What was cropped how from the original release was never published.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.data.datasets.hand.base import HandDataset, HandLabels, check_split, find_duplicates
from hamipose.data.splits import check_protocol, held_out_count, shuffled
from hamipose.errors import UserError
from hamipose.io.json_file import read_json

__all__ = ["Hand3DStudio"]

_EXPECTED = "a list of name, keypoint2d, keypoint3d and without_object, as in H3D_crop/annotation.json"


def _column(entries: list, key: str, shape: tuple[int, ...], path: Path) -> Float[np.ndarray, " hand *shape"]:
    """One field of all entries."""
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or key not in entry:
            raise UserError(f"entry {i} of {path} has no {key}; expected {_EXPECTED}")
    try:
        column = np.array([e[key] for e in entries], np.float64)
    except (TypeError, ValueError):
        column = np.empty(0)
    if column.shape == (len(entries), *shape) and np.isfinite(column).all():
        return column
    for i, entry in enumerate(entries):  # which one is it?
        try:
            found = np.array(entry[key], np.float64)
            good = found.shape == shape and bool(np.isfinite(found).all())
        except (TypeError, ValueError):
            good = False
        if not good:
            wanted = " x ".join(map(str, shape)) or "one"
            raise UserError(f"{key} of entry {i} of {path} is not {wanted} finite numbers")
    raise UserError(f"{key} in {path} has shape {column.shape}; expected {_EXPECTED}")


class Hand3DStudio(HandDataset):
    """Hand-3D-Studio (H3D; Zhao et al., 2020), processed by the authors of RegDA: hands in front of many cameras.

    Crops are the pictures as they come, in both protocols; nothing is mirrored. ``paper`` shuffles the frames and sets
    a fifth aside, at most 3200: neighbors in time and the same moment from other cameras are then on both sides.
    ``strict`` tests on `test_parts`, and leaves out of "train" every picture of a moment that "test" shows too, found
    by the hand's three-dimensional shape (:func:`hamipose.data.datasets.hand.base.find_duplicates`).

    Args:
        root: the folder ``H3D_crop``.
        split: "train", "test" or "all".
        protocol: "strict" or "paper".
        task: "noobject" (empty hands), "object" or "all".
        test_parts: folders that ``strict`` sets aside.
        cache: keep decoded pictures in memory.
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
        return self.root / bytes(file).decode()

    def read(self) -> HandLabels:
        path = self.root / "annotation.json"
        entries = read_json(path, _EXPECTED)
        if not isinstance(entries, list) or not entries:
            raise UserError(f"annotation file {path} holds no list of hands; expected {_EXPECTED}")
        keypoints_px = _column(entries, "keypoint2d", (21, 2), path)
        empty = _column(entries, "without_object", (), path) == 1
        if not all(isinstance(e.get("name"), str) for e in entries):
            raise UserError(f"an entry of {path} has no name of a picture; expected {_EXPECTED}")
        names = np.array([e["name"].encode() for e in entries])
        task = {"noobject": empty, "object": ~empty, "all": np.ones(len(entries), bool)}[self.task]
        of_task = np.flatnonzero(task)
        if self.paper:
            order = of_task[shuffled(len(of_task))]
            aside = held_out_count(len(order))
            chosen = {"train": order[aside:], "test": order[:aside], "all": order}[self.split]
        else:
            joints_m = _column(entries, "keypoint3d", (21, 3), path)
            chosen = self._strict(of_task, names, joints_m)
        count = len(entries)
        table = HandLabels(
            file=names,
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.full((count, 21), 2, np.uint8),
            box_px=np.zeros((count, 4), np.float32),
            mirrored=np.zeros(count, bool),
        )
        return table.rows(chosen)

    def _strict(
        self, of_task: Int[np.ndarray, " kept"], names: np.ndarray, joints_m: Float[np.ndarray, "hand 21 3"]
    ) -> Int[np.ndarray, " chosen"]:
        """The rows of this split."""
        parts = np.array([bytes(n).split(b"/")[0].decode() for n in names[of_task]])
        missing = [p for p in self.test_parts if p not in parts]
        if missing:
            raise UserError(
                f"test_parts of Hand3DStudio name {', '.join(missing)}, but {self.root} has "
                f"{', '.join(sorted(set(parts))[:8])}"
            )
        tested = np.isin(parts, self.test_parts)
        if self.split == "all":
            return of_task
        if self.split == "test":
            return of_task[tested]
        rest = of_task[~tested]
        return rest[~find_duplicates(joints_m[rest], joints_m[of_task[tested]])]

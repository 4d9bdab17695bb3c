"""Any data set that `data prepare` has packed, read back from a table in mapped memory and a few large files."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.catalog.shards import FORMAT, record_dtype, shard_name
from hamipose.errors import UserError
from hamipose.io.file_type import explain
from hamipose.io.image_file import decode_image
from hamipose.skeletons import SKELETONS
from hamipose.types import Sample

__all__ = ["Prepared", "read_split"]


def read_split(folder: Path) -> dict[str, Any]:
    """What ``split.json`` of a prepared split says.

    Raises:
        UserError: there is none, it is unfinished, or of another version.
    """
    try:
        about = json.loads((folder / "split.json").read_text())
    except OSError:
        state = "is unfinished" if (folder / "rows.part").exists() else "holds no prepared split"
        raise UserError(f"{folder} {state}; expected what `python -m hamipose data prepare` writes") from None
    except ValueError as error:
        raise UserError(f"{folder / 'split.json'} is no valid JSON ({error}); prepare the split again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{folder / 'split.json'} is not of format {FORMAT}; prepare the split again")
    return about


class Prepared(KeypointDataset):
    """One split of a set that ``python -m hamipose data prepare`` has written.

    Args:
        root: the folder given to it as --out.
        split: as the raw set names it: train, test, val …
        protocol: "paper" or "strict"; see docs/protocols.md.
        skeleton: keypoint order of the samples; keypoints are matched by name.
        cache: keep decoded pictures in memory.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        protocol: str = "strict",
        skeleton: str = "body16",
        cache: bool = False,
    ):
        self.root = Path(root)
        self.folder = self.root / protocol / split
        self.skeleton = get_skeleton(skeleton)
        self.cache = cache
        self._rows: np.ndarray | None = None
        self._order: np.ndarray | None = None
        self._files: dict[int, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process maps and opens the files itself."""
        return {**self.__dict__, "_rows": None, "_files": {}}

    @property
    def rows(self) -> np.ndarray:
        """The table, a record of :func:`hamipose.data.catalog.shards.record_dtype` a person; mapped on first use."""
        if self._rows is None:
            about = read_split(self.folder)
            stored = get_skeleton(about["skeleton"])
            source = self.skeleton.map_from(SKELETONS[stored.name])
            if all(s is None for s in source):
                raise UserError(f"{self.folder} has the keypoints of {stored.name}, none of {self.skeleton.name}'s")
            self._order = np.array([-1 if s is None else s for s in source])
            try:
                rows = np.load(self.folder / "rows.npy", mmap_mode="r")
            except (OSError, ValueError, EOFError):
                told = explain(self.folder / "rows.npy", "a NumPy array (.npy)")
                raise UserError(f"{self.folder / 'rows.npy'} {told}; remove the folder and make it again") from None
            if rows.dtype != record_dtype(len(stored)) or len(rows) != about["rows"]:
                raise UserError(f"{self.folder / 'rows.npy'} does not fit split.json; prepare the split again")
            self._rows = rows
        return self._rows

    def prepare(self) -> None:
        last = self.rows[-1] if len(self.rows) else None
        if last is not None:
            path = self.folder / shard_name(int(last["shard"]))
            end = int(last["offset"]) + int(last["name_size"]) + int(last["size"])
            if not path.is_file() or path.stat().st_size != end:
                raise UserError(f"{path} is missing or incomplete; expected {end} bytes. Prepare the split again")

    def __len__(self) -> int:
        return len(self.rows)

    def _content(self, row: np.void) -> tuple[str, bytes]:
        """Name and encoded picture. Reading at a position leaves files opened before a fork usable after it."""
        number = int(row["shard"])
        if number not in self._files:
            path = self.folder / shard_name(number)
            try:
                self._files[number] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise UserError(f"{path} cannot be opened ({error.strerror}); prepare the split again") from None
        name_size = int(row["name_size"])
        content = os.pread(self._files[number], name_size + int(row["size"]), int(row["offset"]))
        return content[:name_size].decode(errors="replace"), content[name_size:]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        assert self._order is not None
        name, picture = self._content(row)
        box = np.array(row["box"], np.float32)
        reduction = self.reduction(box)
        kept = self.__dict__.setdefault("_kept", {})
        image = kept.get((index, reduction))
        if image is None:
            image = decode_image(picture, name, reduction)
            if self.cache:
                kept[index, reduction] = image
        known = self._order >= 0
        keypoints_px = np.where(known[:, None], (row["keypoints"][self._order] + 0.5) / reduction - 0.5, 0)
        return Sample(
            image=image,
            box_px=box / reduction,
            name=name,
            reduction=reduction,
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.where(known, row["visibility"][self._order], 0).astype(np.int64),
        )

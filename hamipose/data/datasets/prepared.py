"""Data sets written by `data prepare`: a memory-mapped index and a few large files of images."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.catalog.entries import find_entry
from hamipose.data.catalog.shards import FORMAT, record_dtype, shard_name
from hamipose.data.splits import PROTOCOLS
from hamipose.errors import UserError
from hamipose.io.file_type import explain
from hamipose.io.image_file import decode_image
from hamipose.skeletons import SKELETONS
from hamipose.types import Sample

__all__ = ["Prepared", "is_prepared", "open_split", "read_split"]


def is_prepared(root: str | Path) -> bool:
    """Return whether a folder was written by `data prepare`."""
    return any(file for protocol in PROTOCOLS for file in (Path(root) / protocol).glob("*/split.json"))


def read_split(folder: Path) -> dict[str, Any]:
    """Read ``split.json`` of a prepared split.

    Raises:
        UserError: the split does not exist, is unfinished, or has another format version.
    """
    try:
        info = json.loads((folder / "split.json").read_text())
    except OSError:
        state = "is unfinished" if (folder / "rows.part").exists() else "contains no prepared split"
        raise UserError(f"{folder} {state}; expected a folder written by `python -m hamipose data prepare`") from None
    except ValueError as error:
        raise UserError(f"{folder / 'split.json'} is not valid JSON ({error}); prepare the split again") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise UserError(f"{folder / 'split.json'} does not have format version {FORMAT}; prepare the split again")
    return info


class Prepared(KeypointDataset):
    """One split of a data set written by ``python -m hamipose data prepare``.

    Args:
        root: the folder that was passed as --out.
        split: name in the raw data set: train, test, val …
        protocol: "paper" or "strict"; see docs/protocols.md.
        skeleton: keypoint order of the samples; keypoints are matched by name.
        cache: keep decoded images in memory.
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
        self._records: np.ndarray | None = None
        self._order: np.ndarray | None = None
        self._files: dict[int, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files: a copy in another process opens them itself."""
        return {**self.__dict__, "_records": None, "_files": {}}

    @property
    def records(self) -> np.ndarray:
        """Return a record of :func:`hamipose.data.catalog.shards.record_dtype` per person, mapped on first use."""
        if self._records is None:
            info = read_split(self.folder)
            stored = get_skeleton(info["skeleton"])
            source = self.skeleton.map_from(SKELETONS[stored.name])
            if all(s is None for s in source):
                raise UserError(f"{self.folder} has the keypoints of {stored.name}, none of {self.skeleton.name}'s")
            self._order = np.array([-1 if s is None else s for s in source])
            try:
                records = np.load(self.folder / "rows.npy", mmap_mode="r")
            except (OSError, ValueError, EOFError):
                problem = explain(self.folder / "rows.npy", "a NumPy array (.npy)")
                raise UserError(
                    f"{self.folder / 'rows.npy'} {problem}; delete the folder and prepare it again"
                ) from None
            if records.dtype != record_dtype(len(stored)) or len(records) != info["rows"]:
                raise UserError(f"{self.folder / 'rows.npy'} does not match split.json; prepare the split again")
            self._records = records
        return self._records

    def prepare(self) -> None:
        """Check that the last image file is complete."""
        last = self.records[-1] if len(self.records) else None
        if last is not None:
            path = self.folder / shard_name(int(last["shard"]))
            end = int(last["offset"]) + int(last["name_size"]) + int(last["size"])
            if not path.is_file() or path.stat().st_size != end:
                raise UserError(f"{path} is missing or incomplete; expected {end} bytes. Prepare the split again")

    def __len__(self) -> int:
        return len(self.records)

    def _content(self, record: np.void) -> tuple[str, bytes]:
        """Return name and encoded image; `os.pread` lets processes share files that were opened before a fork."""
        number = int(record["shard"])
        if number not in self._files:
            path = self.folder / shard_name(number)
            try:
                self._files[number] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise UserError(f"{path} cannot be opened ({error.strerror}); prepare the split again") from None
        name_size = int(record["name_size"])
        content = os.pread(self._files[number], name_size + int(record["size"]), int(record["offset"]))
        return content[:name_size].decode(errors="replace"), content[name_size:]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        assert self._order is not None
        name, content = self._content(record)
        box = np.array(record["box"], np.float32)
        reduction = self.reduction(box)
        cached = self.__dict__.setdefault("_cached", {})
        image = cached.get((index, reduction))
        if image is None:
            image = decode_image(content, name, reduction)
            if self.cache:
                cached[index, reduction] = image
        known = self._order >= 0
        keypoints_px = np.where(known[:, None], (record["keypoints"][self._order] + 0.5) / reduction - 0.5, 0)
        return Sample(
            image=image,
            box_px=box / reduction,
            name=name,
            reduction=reduction,
            keypoints_px=keypoints_px.astype(np.float32),
            visibility=np.where(known, record["visibility"][self._order], 0).astype(np.int64),
        )


def open_split(name: str, root: str | Path, split: str, protocol: str) -> KeypointDataset:
    """Return one split of a public data set, raw or prepared, in a folder.

    Raises:
        UserError: unknown data set, protocol or split.
    """
    entry = find_entry(name)
    if protocol not in entry.splits:
        raise UserError(f"protocol of {name} is {protocol!r}, expected one of {', '.join(entry.splits)}")
    if split not in entry.splits[protocol]:
        raise UserError(f"split of {name} is {split!r}, expected one of {', '.join(entry.splits[protocol])}")
    raw = entry.dataset(root, split, protocol)
    if is_prepared(root):
        return Prepared(str(root), split, protocol, skeleton=raw.skeleton.name)
    return raw

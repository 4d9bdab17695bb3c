"""A memory-mapped index of labeled video frames, for millions of frames without one Python object per frame.

The folder contains ``clips.txt`` (the path of each clip), ``rows.npy`` (a record of :func:`record_dtype` per frame, in
the order of the clips) and ``about.json`` (settings). It is written to a temporary folder and renamed when complete.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["Clip", "FrameIndex", "record_dtype"]

FORMAT = 1


class Clip(NamedTuple):
    """The usable frames of one video."""

    path: str  # below the data set's folder
    frames: Int[np.ndarray, " frame"]
    joints_px: Float[np.ndarray, "frame joint 2"]
    boxes_px: Float[np.ndarray, "frame 4"]


def record_dtype(joints: int) -> np.dtype:
    """Return the data type of the record of one frame.

    >>> record_dtype(24).itemsize  # SURREAL: 1.4 GB on disk for 6.5 million frames
    216
    """
    return np.dtype([("clip", "<u4"), ("frame", "<u4"), ("box", "<f4", 4), ("joints", "<f4", (joints, 2))])


class FrameIndex:
    """The index of one split.

    Args:
        folder: folder of the index.
        joints: number of joints per frame.
        settings: options that the content depends on; an index with other settings is rebuilt.
    """

    def __init__(self, folder: Path, joints: int, settings: dict[str, Any]):
        self.folder = folder
        self.type = record_dtype(joints)
        self.settings = {"format": FORMAT, "joints": joints, **settings}
        self._records: np.ndarray | None = None
        self._clips: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files: a copy in another process maps them itself."""
        return {**self.__dict__, "_records": None, "_clips": None}

    def exists(self) -> bool:
        """Return whether the index is complete and was built with these settings."""
        try:
            return json.loads((self.folder / "about.json").read_text()) == self.settings
        except (OSError, ValueError):
            return False

    def build(self, clips: Iterable[Clip]) -> None:
        """Write the index; clips without usable frames are skipped.

        Raises:
            UserError: the folder cannot be written, or no clip has a usable frame.
        """
        unfinished = self.folder.with_name(self.folder.name + ".part")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"index {self.folder} cannot be written ({error.strerror}); give another folder as `index`"
            ) from None
        count = number = 0
        with open(unfinished / "rows.raw", "wb") as table, open(unfinished / "clips.txt", "w") as names:
            for clip in clips:
                if not len(clip.frames):
                    continue
                records = np.zeros(len(clip.frames), self.type)
                records["clip"], records["frame"] = number, clip.frames
                records["joints"], records["box"] = clip.joints_px, clip.boxes_px
                table.write(records.tobytes())
                names.write(clip.path + "\n")
                count, number = count + len(records), number + 1
        if not count:
            raise UserError(f"index {self.folder} would be empty: none of the clips has a usable frame")
        with open(unfinished / "rows.npy", "wb") as table, open(unfinished / "rows.raw", "rb") as raw:
            header = {"descr": np.lib.format.dtype_to_descr(self.type), "fortran_order": False, "shape": (count,)}
            np.lib.format.write_array_header_2_0(table, header)
            shutil.copyfileobj(raw, table, 2**24)
        (unfinished / "rows.raw").unlink()
        (unfinished / "about.json").write_text(json.dumps(self.settings))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(unfinished, self.folder)
        self._records = self._clips = None

    @property
    def records(self) -> np.ndarray:
        """Return the records, mapped on first use."""
        if self._records is None:
            if not self.exists():
                raise UserError(
                    f"index {self.folder} is missing or was built with other settings; call prepare() to build it"
                )
            try:
                self._records = np.load(self.folder / "rows.npy", mmap_mode="r")
            except (OSError, ValueError, EOFError):
                problem = explain(self.folder / "rows.npy", "a NumPy array (.npy)")
                raise UserError(f"{self.folder / 'rows.npy'} {problem}; delete the folder to rebuild it") from None
        return self._records

    def clip(self, number: int) -> str:
        """Return the path of a clip below the data set's folder."""
        if self._clips is None:
            lines = (self.folder / "clips.txt").read_text().splitlines()
            self._clips = np.array([line.encode() for line in lines])
        return bytes(self._clips[number]).decode()

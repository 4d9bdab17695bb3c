"""Millions of labeled video frames as one table in mapped memory: no Python object per frame.

A folder holds ``clips.txt``, the clips' paths line by line, ``rows.npy``, a record of :func:`record_dtype` a frame in the
order of the clips, and ``about.json``. It is written beside its final place and moved there when it is whole.
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
    """The record of one frame.

    >>> record_dtype(24).itemsize  # SURREAL: 1.4 GB on disk for 6.5 million frames
    216
    """
    return np.dtype([("clip", "<u4"), ("frame", "<u4"), ("box", "<f4", 4), ("joints", "<f4", (joints, 2))])


class FrameIndex:
    """The table of one split.

    Args:
        folder: where it is, or will be.
        joints: per frame.
        settings: what it depends on; a table made with others is made again.
    """

    def __init__(self, folder: Path, joints: int, settings: dict[str, Any]):
        self.folder = folder
        self.type = record_dtype(joints)
        self.settings = {"format": FORMAT, "joints": joints, **settings}
        self._rows: np.ndarray | None = None
        self._clips: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process maps the file itself."""
        return {**self.__dict__, "_rows": None, "_clips": None}

    def exists(self) -> bool:
        """Whether the table is there, whole, and made with these settings."""
        try:
            return json.loads((self.folder / "about.json").read_text()) == self.settings
        except (OSError, ValueError):
            return False

    def build(self, clips: Iterable[Clip]) -> None:
        """Write the table, clip by clip; a clip without usable frames leaves no trace.

        Raises:
            UserError: the folder cannot be written, or there is no frame at all.
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
                rows = np.zeros(len(clip.frames), self.type)
                rows["clip"], rows["frame"] = number, clip.frames
                rows["joints"], rows["box"] = clip.joints_px, clip.boxes_px
                table.write(rows.tobytes())
                names.write(clip.path + "\n")
                count, number = count + len(rows), number + 1
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
        self._rows = self._clips = None

    @property
    def rows(self) -> np.ndarray:
        """The records, mapped on first use."""
        if self._rows is None:
            if not self.exists():
                raise UserError(f"index {self.folder} is missing or of another make; call prepare() to make it")
            try:
                self._rows = np.load(self.folder / "rows.npy", mmap_mode="r")
            except (OSError, ValueError, EOFError):
                told = explain(self.folder / "rows.npy", "a NumPy array (.npy)")
                raise UserError(f"{self.folder / 'rows.npy'} {told}; remove the folder and make it again") from None
        return self._rows

    def clip(self, number: int) -> str:
        """Path of a clip, below the data set's folder."""
        if self._clips is None:
            lines = (self.folder / "clips.txt").read_text().splitlines()
            self._clips = np.array([line.encode() for line in lines])
        return bytes(self._clips[number]).decode()

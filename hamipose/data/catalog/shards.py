"""Many pictures in a few large files, their labels in one table: what `data prepare` writes and `Prepared` reads.

``pictures-00000.bin …`` hold, end to end, each picture's name (UTF-8) and its encoded bytes. ``rows.npy`` is an array
of records of :func:`record_dtype`, one a person, made to be mapped into memory: however many there are, a process keeps
only the pages that it reads, and no Python object per sample exists. ``split.json`` says what all this is, with
checksums.

While a split is being written its records stand in ``rows.part``. A record is written after its picture, so whatever
was interrupted, everything up to the last whole record whose picture has the right checksum is kept.
"""

import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hamipose.errors import UserError
from hamipose.io.json_file import read_record

__all__ = ["FORMAT", "Packed", "ShardWriter", "record_dtype", "sha256"]

FORMAT = 1
SHARD_BYTES = 512 * 2**20  # small enough to copy one by one, and for positions of 32 bits


class Packed(NamedTuple):
    """One person, ready to be written."""

    source: int  # position in the data set that it comes from
    name: str
    picture: bytes  # JPEG
    box_px: Float[np.ndarray, "4"]
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    visibility: Int[np.ndarray, " keypoint"]


def record_dtype(keypoints: int) -> np.dtype:
    """The record of one person.

    >>> record_dtype(16).itemsize, record_dtype(21).itemsize
    (180, 225)
    """
    return np.dtype(
        [
            ("source", "<u4"),
            ("crc", "<u4"),  # of name and picture together
            ("offset", "<u4"),
            ("size", "<u4"),  # of the picture, which follows the name
            ("shard", "<u2"),
            ("name_size", "<u2"),
            ("box", "<f4", 4),
            ("keypoints", "<f4", (keypoints, 2)),
            ("visibility", "u1", keypoints),
        ]
    )


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"pictures-{number:05d}.bin"


class ShardWriter:
    """Appends people to a folder, or goes on where an interrupted writer stopped.

    Args:
        folder: of one split; made if it does not exist.
        keypoints: of every person.
        settings: what the split is made from and how; an interrupted writer must have had the same.
        shard_bytes: size at which a new file is begun.

    Raises:
        UserError: another process writes here, or the folder was begun with other settings.
    """

    def __init__(self, folder: Path, keypoints: int, settings: dict[str, Any], shard_bytes: int = SHARD_BYTES):
        self.folder = folder
        self.type = record_dtype(keypoints)
        self.settings = settings
        self.shard_bytes = shard_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._rows: BinaryIO = open(folder / "rows.part", "a+b")  # noqa: SIM115  closed in close()
        try:
            fcntl.flock(self._rows, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however that ends
        except OSError:
            raise UserError(f"{folder} is being written by another process; wait for it or give another") from None
        self._agree(folder / "begun.json")
        last = self._keep_whole_records()
        self.rows = self._rows.tell() // self.type.itemsize
        self.next_source = 0 if last is None else int(last["source"]) + 1
        self._number = 0 if last is None else int(last["shard"])
        self._shard = open(folder / shard_name(self._number), "ab")  # noqa: SIM115
        self._shard.truncate(_end(last))
        self._shard.seek(0, os.SEEK_END)

    def _agree(self, begun: Path) -> None:
        """Refuse to go on with what was begun otherwise."""
        found = read_record(begun) if begun.exists() else self.settings
        if found != self.settings:
            theirs = {k: v for k, v in found.items() if self.settings.get(k) != v}
            ours = {k: self.settings.get(k) for k in theirs}
            raise UserError(
                f"{self.folder} was begun with {theirs}, asked for are {ours}; delete it or give another folder"
            )
        begun.with_suffix(".part").write_text(json.dumps(self.settings))
        os.replace(begun.with_suffix(".part"), begun)

    def _keep_whole_records(self) -> np.void | None:
        """Cut off what a kill or a power failure left unfinished; the last record that stays."""
        self._rows.seek(0, os.SEEK_END)
        count = self._rows.tell() // self.type.itemsize
        kept = np.memmap(self._rows, self.type, "r", shape=(count,)) if count else np.empty(0, self.type)
        whole = int(np.searchsorted(kept["shard"], kept["shard"][-1])) if count else 0  # earlier files were closed
        if count:
            shard = self.folder / shard_name(int(kept["shard"][-1]))
            with open(shard, "rb") if shard.exists() else open(os.devnull, "rb") as stream:
                for row in kept[whole:]:
                    stream.seek(int(row["offset"]))
                    content = stream.read(int(row["name_size"]) + int(row["size"]))
                    if len(content) < int(row["name_size"]) + int(row["size"]) or zlib.crc32(content) != row["crc"]:
                        break
                    whole += 1
        last = kept[whole - 1].copy() if whole else None
        del kept
        self._rows.truncate(whole * self.type.itemsize)
        self._rows.seek(0, os.SEEK_END)
        return last

    def add(self, person: Packed) -> None:
        """Append one person; people come in the order of their sources."""
        name = person.name.encode()[-65535:]
        content = name + person.picture
        if self._shard.tell() and self._shard.tell() + len(content) > self.shard_bytes:
            self._shard.close()
            self._number += 1
            self._shard = open(self.folder / shard_name(self._number), "wb")  # noqa: SIM115
        row = np.zeros((), self.type)
        row["source"], row["crc"], row["shard"] = person.source, zlib.crc32(content), self._number
        row["offset"], row["size"], row["name_size"] = self._shard.tell(), len(person.picture), len(name)
        row["box"], row["keypoints"], row["visibility"] = person.box_px, person.keypoints_px, person.visibility
        self._shard.write(content)
        self._shard.flush()
        self._rows.write(row.tobytes())
        self._rows.flush()
        self.rows += 1

    def finish(self, about: dict[str, Any], tell: Callable[[str], None] = lambda name: None) -> None:
        """Make the split complete.

        Args:
            about: goes into ``split.json``, besides settings, counts and checksums.
            tell: told of each file before it is read for its checksum.
        """
        self._shard.close()
        with open(self.folder / "rows.npy.part", "wb") as table:
            header = {"descr": np.lib.format.dtype_to_descr(self.type), "fortran_order": False, "shape": (self.rows,)}
            np.lib.format.write_array_header_2_0(table, header)
            self._rows.seek(0)
            shutil.copyfileobj(self._rows, table, 2**24)
        os.replace(self.folder / "rows.npy.part", self.folder / "rows.npy")
        files = ["rows.npy", *(shard_name(number) for number in range(self._number + 1))]
        sums = {}
        for name in files:
            tell(name)
            sums[name] = sha256(self.folder / name)
        whole = {"format": FORMAT, **about, "settings": self.settings, "rows": self.rows, "sha256": sums}
        (self.folder / "split.json.part").write_text(json.dumps(whole, indent=1) + "\n")
        os.replace(self.folder / "split.json.part", self.folder / "split.json")
        self.close()
        for name in ("rows.part", "begun.json"):
            (self.folder / name).unlink()

    def close(self) -> None:
        """Let go of the folder; what is written stays."""
        self._shard.close()
        self._rows.close()


def _end(row: np.void | None) -> int:
    """Where the next picture goes."""
    return 0 if row is None else int(row["offset"]) + int(row["name_size"]) + int(row["size"])


def sha256(path: Path) -> str:
    """Checksum of a file, as ``sha256sum`` prints it."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

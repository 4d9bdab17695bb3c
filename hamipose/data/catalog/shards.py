"""The format of prepared splits: many images in a few large files (shards), and their labels in one table.

``pictures-00000.bin …`` contain the name (UTF-8) and the encoded bytes of each image. ``rows.npy`` is an array with a
record of :func:`record_dtype` per person. It is memory-mapped: a process loads only the pages that it reads, and there
is no Python object per sample. ``split.json`` contains settings, counts and checksums.

While a split is being written, its records are in ``rows.part``. A record is written after its image. After an
interruption, everything up to the last complete record whose image has the right checksum is kept.
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

__all__ = ["FORMAT", "PackedSample", "ShardWriter", "record_dtype", "sha256"]

FORMAT = 1
SHARD_BYTES = 512 * 2**20  # offsets fit into 32 bits, and files can be copied one by one


class PackedSample(NamedTuple):
    """One person, ready to be written."""

    source: int  # index in the original data set
    name: str
    jpeg: bytes
    box_px: Float[np.ndarray, "4"]
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    visibility: Int[np.ndarray, " keypoint"]


def record_dtype(keypoints: int) -> np.dtype:
    """Return the data type of the record of one person.

    >>> record_dtype(16).itemsize, record_dtype(21).itemsize
    (180, 225)
    """
    return np.dtype(
        [
            ("source", "<u4"),
            ("crc", "<u4"),  # of name and image together
            ("offset", "<u4"),
            ("size", "<u4"),  # of the image, which follows the name
            ("shard", "<u2"),
            ("name_size", "<u2"),
            ("box", "<f4", 4),
            ("keypoints", "<f4", (keypoints, 2)),
            ("visibility", "u1", keypoints),
        ]
    )


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"pictures-{number:05d}.bin"


class ShardWriter:
    """Append people to the folder of a split; continues after an interrupted writer.

    Args:
        folder: folder of the split; created if it does not exist.
        keypoints: number of keypoints per person.
        settings: settings of the split; an interrupted writer must have had the same.
        shard_bytes: maximum size of a shard.

    Attributes:
        count: number of people written.
        next_source: index in the original data set of the next person.

    Raises:
        UserError: another process writes to the folder, or it was begun with other settings.
    """

    def __init__(self, folder: Path, keypoints: int, settings: dict[str, Any], shard_bytes: int = SHARD_BYTES):
        self.folder = folder
        self.type = record_dtype(keypoints)
        self.settings = settings
        self.shard_bytes = shard_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._records: BinaryIO = open(folder / "rows.part", "a+b")  # noqa: SIM115  closed in close()
        try:
            fcntl.flock(self._records, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends
        except OSError:
            raise UserError(
                f"{folder} is being written by another process; wait for it or give another folder"
            ) from None
        self._check_settings(folder / "begun.json")
        last = self._keep_whole_records()
        self.count = self._records.tell() // self.type.itemsize
        self.next_source = 0 if last is None else int(last["source"]) + 1
        self._number = 0 if last is None else int(last["shard"])
        self._shard = open(folder / shard_name(self._number), "ab")  # noqa: SIM115
        self._shard.truncate(_end(last))
        self._shard.seek(0, os.SEEK_END)

    def _check_settings(self, begun: Path) -> None:
        """Check that the folder was begun with the same settings, or record them."""
        settings = read_record(begun) if begun.exists() else self.settings
        if settings != self.settings:
            different = {k: v for k, v in settings.items() if self.settings.get(k) != v}
            requested = {k: self.settings.get(k) for k in different}
            raise UserError(
                f"{self.folder} was begun with {different}, requested are {requested}; delete it or give another folder"
            )
        begun.with_suffix(".part").write_text(json.dumps(self.settings))
        os.replace(begun.with_suffix(".part"), begun)

    def _keep_whole_records(self) -> np.void | None:
        """Remove incomplete data of an interrupted writer, and return the last complete record."""
        self._records.seek(0, os.SEEK_END)
        count = self._records.tell() // self.type.itemsize
        records = np.memmap(self._records, self.type, "r", shape=(count,)) if count else np.empty(0, self.type)
        whole = int(np.searchsorted(records["shard"], records["shard"][-1])) if count else 0
        if count:
            shard = self.folder / shard_name(int(records["shard"][-1]))
            with open(shard, "rb") if shard.exists() else open(os.devnull, "rb") as stream:
                for record in records[whole:]:
                    stream.seek(int(record["offset"]))
                    content = stream.read(int(record["name_size"]) + int(record["size"]))
                    if (
                        len(content) < int(record["name_size"]) + int(record["size"])
                        or zlib.crc32(content) != record["crc"]
                    ):
                        break
                    whole += 1
        last = records[whole - 1].copy() if whole else None
        del records
        self._records.truncate(whole * self.type.itemsize)
        self._records.seek(0, os.SEEK_END)
        return last

    def add(self, person: PackedSample) -> None:
        """Append one person; people must be in the order of the original data set."""
        name = person.name.encode()[-65535:]
        content = name + person.jpeg
        if self._shard.tell() and self._shard.tell() + len(content) > self.shard_bytes:
            self._shard.close()
            self._number += 1
            self._shard = open(self.folder / shard_name(self._number), "wb")  # noqa: SIM115
        record = np.zeros((), self.type)
        record["source"], record["crc"], record["shard"] = person.source, zlib.crc32(content), self._number
        record["offset"], record["size"], record["name_size"] = self._shard.tell(), len(person.jpeg), len(name)
        record["box"], record["keypoints"], record["visibility"] = person.box_px, person.keypoints_px, person.visibility
        self._shard.write(content)
        self._shard.flush()
        self._records.write(record.tobytes())
        self._records.flush()
        self.count += 1

    def finish(self, info: dict[str, Any], on_checksum: Callable[[str], None] = lambda name: None) -> None:
        """Complete the split.

        Args:
            info: additional content of ``split.json``, besides settings, counts and checksums.
            on_checksum: called with the name of each file before its checksum is computed.
        """
        self._shard.close()
        with open(self.folder / "rows.npy.part", "wb") as table:
            header = {"descr": np.lib.format.dtype_to_descr(self.type), "fortran_order": False, "shape": (self.count,)}
            np.lib.format.write_array_header_2_0(table, header)
            self._records.seek(0)
            shutil.copyfileobj(self._records, table, 2**24)
        os.replace(self.folder / "rows.npy.part", self.folder / "rows.npy")
        files = ["rows.npy", *(shard_name(number) for number in range(self._number + 1))]
        sums = {}
        for name in files:
            on_checksum(name)
            sums[name] = sha256(self.folder / name)
        content = {"format": FORMAT, **info, "settings": self.settings, "rows": self.count, "sha256": sums}
        (self.folder / "split.json.part").write_text(json.dumps(content, indent=1) + "\n")
        os.replace(self.folder / "split.json.part", self.folder / "split.json")
        self.close()
        for name in ("rows.part", "begun.json"):
            (self.folder / name).unlink()

    def close(self) -> None:
        """Close the files, and release the folder."""
        self._shard.close()
        self._records.close()


def _end(record: np.void | None) -> int:
    """Return the offset after a record's image."""
    return 0 if record is None else int(record["offset"]) + int(record["name_size"]) + int(record["size"])


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

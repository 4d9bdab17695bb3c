"""Files that appear whole or not at all, and write errors that name the file."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["NO_SPACE", "atomic_path", "check_folder", "free_bytes", "temporary_beside", "write_bytes", "write_text"]

#: Error numbers of a write that failed for lack of space.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Libraries replace the system's error by their own: torch by "unexpected pos", safetensors by "(os error 28)".
_LACKS_SPACE = re.compile(r"unexpected pos \d+ vs \d+|PytorchStreamWriter failed|os error (28|122|27)\b")


def free_bytes(path: Path) -> int:
    """Return the free space of the file system that holds a path, which need not exist."""
    folder = path.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _os_error(error: BaseException, path: Path) -> OSError | None:
    """Return the operating system's error behind a failed write with the file's path, or None if there is none."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror or os.strerror(error.errno), str(path))
    # numpy: "1000000 requested and 262112 written", without an error number
    if isinstance(error, OSError) or _LACKS_SPACE.search(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return None


def check_folder(folder: Path) -> None:
    """Create a folder and check that a file can be written to it, before work that would be lost.

    Raises:
        OSError: it cannot; its ``filename`` is the folder.
    """
    try:
        write_bytes(folder / ".writable", b"a")
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def temporary_beside(path: Path) -> Path:
    """Return the hidden name in the same folder, with the same ending, under which a file is written first."""
    return path.with_name(f".{path.stem[:40]}.{os.getpid()}.part{path.suffix}")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to, and rename it to the final one once the block has succeeded.

    The temporary file (:func:`temporary_beside`) keeps the ending, by which libraries choose a format. It is removed if
    the block fails, and an existing file then remains as it was. Folders are created.

    Args:
        path: the file to write.

    Raises:
        OSError: the file cannot be written; its ``filename`` is `path`.
    """
    path = Path(path)
    beside = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except Exception as error:
        if (named := _os_error(error, path)) is not None:
            raise named from error
        raise
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write a UTF-8 file that appears whole or not at all; see :func:`atomic_path`."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))

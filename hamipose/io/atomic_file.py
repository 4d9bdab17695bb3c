"""Atomic writing of files, and write errors that name the file."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["NO_SPACE", "atomic_path", "check_folder", "free_bytes", "temporary_beside", "write_bytes", "write_text"]

#: Error numbers of writes that fail for lack of space.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Libraries replace the error of the system: torch writes "unexpected pos", safetensors "(os error 28)".
_LACKS_SPACE = re.compile(r"unexpected pos \d+ vs \d+|PytorchStreamWriter failed|os error (28|122|27)\b")


def free_bytes(path: Path) -> int:
    """Return the free space of the file system of a path, which need not exist."""
    folder = path.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _os_error(error: BaseException, path: Path) -> OSError | None:
    """Return the operating system's error of a failed write, with the path of the file; None for other errors."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror or os.strerror(error.errno), str(path))
    # numpy: "1000000 requested and 262112 written", without an error number
    if isinstance(error, OSError) or _LACKS_SPACE.search(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return None


def check_folder(folder: Path) -> None:
    """Create a folder and check that it is writable, before a computation whose results would be lost.

    Raises:
        OSError: the folder is not writable; the ``filename`` of the error is the folder.
    """
    try:
        write_bytes(folder / ".writable", b"a")
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def temporary_beside(path: Path) -> Path:
    """Return the path of the temporary file: a hidden name in the same folder with the same suffix."""
    return path.with_name(f".{path.stem[:40]}.{os.getpid()}.part{path.suffix}")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to the final path after the block has succeeded.

    The temporary file (:func:`temporary_beside`) has the same suffix, from which libraries choose a format. If the
    block fails, the temporary file is removed, and an existing file is not changed. Folders are created.

    Args:
        path: the file to write.

    Raises:
        OSError: the file cannot be written; the ``filename`` of the error is `path`.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except Exception as error:
        if (named := _os_error(error, path)) is not None:
            raise named from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write a UTF-8 file atomically; see :func:`atomic_path`."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))

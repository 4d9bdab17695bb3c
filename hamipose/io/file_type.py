"""Detection of file types by content, so that errors can say what a file is."""

import re
import zipfile
from pathlib import Path

__all__ = ["HEAD", "describe_error", "explain", "explain_numpy", "file_kind", "foreign_kind"]

#: Number of bytes at the beginning of a file that are needed for detection.
HEAD = 1024

#: Contents that are never the intended file, with advice.
_FOREIGN = (
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec"),
        "a Git LFS pointer, not the file itself; run git lfs pull in its repository, or download the file",
    ),
    (
        re.compile(rb"\s*(<!DOCTYPE html|<html|<head|<!--)", re.IGNORECASE),
        "a web page, not the file itself; download it from the page's own download link",
    ),
    (re.compile(rb"\s*<\?xml"), "an XML file, perhaps a server's error message; download the file itself"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"Rar!|7z\xbc\xaf|\x1f\x8b|BZh\d|\xfd7zXZ|\(\xb5/\xfd"), "a compressed file; unpack it first"),
)

_FORMATS = (
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array (.npy)"),
    (re.compile(rb"\x89HDF"), "an HDF5 file"),
    (re.compile(rb"\xcd\xf3\x00\x01"), "a CDF file"),
    (re.compile(rb"MATLAB 7\.3"), "a MATLAB 7.3 file"),
    (re.compile(rb"MATLAB 5"), "a MATLAB file"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\x00|MM\x00\*|BM|RIFF....WEBP", re.DOTALL), "an image"),
    (re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI", re.DOTALL), "a video"),
    (re.compile(rb"....TFL3", re.DOTALL), "a TensorFlow Lite model"),
    (re.compile(rb".{8}\{\"", re.DOTALL), "a safetensors file"),
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle"),
    (re.compile(rb"\s*[\[{]"), "JSON text"),
)


def foreign_kind(head: bytes) -> str | None:
    r"""Return the type of a file, with advice, if it is certainly not the intended file; else None.

    Args:
        head: the first :data:`HEAD` bytes of the file.

    >>> foreign_kind(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")[:17]
    'a Git LFS pointer'
    >>> foreign_kind(bytes.fromhex("ffd8ffe0"))
    """
    return next((kind for pattern, kind in _FOREIGN if pattern.match(head)), None)


def file_kind(path: Path) -> str | None:
    """Return the type of a readable file by its content, with an article; None if it is unknown.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.savez(f"{folder}/a.dat.npz", a=numpy.ones(2))
    ...     file_kind(Path(folder) / "a.dat.npz")
    'a NumPy archive (.npz)'
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    kind = foreign_kind(head) or next((kind for pattern, kind in _FORMATS if pattern.match(head)), None)
    if kind == "a zip archive":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception:  # truncated or damaged
            return kind
        if any(name.endswith("/data.pkl") for name in names):
            return "a TorchScript program" if any("/code/" in name for name in names) else "a PyTorch file"
        return "a NumPy archive (.npz)" if names and all(name.endswith(".npy") for name in names) else kind
    if kind is None and head and re.fullmatch(rb"[\t\n\r\x20-\x7e]*", head):
        return "a text file"
    return kind


def explain(path: str | Path, expected: str, *also: str) -> str:
    """Return why a file cannot be read: the rest of a sentence that begins with its name.

    Args:
        path: a file that a reader has rejected.
        expected: the expected type, as named by :func:`file_kind`, or another name.
        *also: further valid names of :func:`file_kind`.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return f"is a folder, not {expected}"
        size = path.stat().st_size
        kind = file_kind(path)
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})"
    if not size:
        return "is empty (0 bytes)"
    truncated = kind == "a zip archive" and not zipfile.is_zipfile(path)  # of any format
    if kind is None or truncated or kind in (expected, *also):
        return f"is cut short, damaged or not {expected} ({size} bytes)"
    return f"is {kind}" if ";" in kind else f"is {kind}, not {expected}"


def explain_numpy(path: str | Path, expected: str, error: BaseException) -> str:
    """Return why numpy has rejected a file: as :func:`explain`, or that it contains Python objects.

    Args:
        path: the file.
        expected: "a NumPy array (.npy)" or "a NumPy archive (.npz)".
        error: the error of numpy.
    """
    return "contains Python objects, not plain arrays" if "Object arrays" in str(error) else explain(path, expected)


def describe_error(error: BaseException) -> str:
    """Return one line that describes an error in the content of a file.

    >>> describe_error(KeyError("joints")), describe_error(TypeError("'int' object is not iterable"))
    ("'joints' is missing", "TypeError: 'int' object is not iterable")
    """
    if isinstance(error, KeyError):
        return f"{error} is missing"
    words = " ".join(str(error).split())[:160]
    return words if isinstance(error, OSError) and words else f"{type(error).__name__}: {words}".rstrip(": ")

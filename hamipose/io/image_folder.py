"""Listing of a folder's pictures: hidden files skipped, links followed once, what cannot be read named."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hamipose.io.media_types import UNSUPPORTED_VIDEO_SUFFIXES, is_image, unsupported_reason

__all__ = ["ImageListing", "find_missing_files", "is_overlay", "list_images", "overlay_path"]

#: Folders that systems and programs create beside users' files; hidden ones begin with a dot.
_NOT_USERS = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found")


@dataclass(frozen=True)
class ImageListing:
    """What a folder holds.

    Attributes:
        paths: the pictures, sorted.
        skipped: a line for each kind of file and each folder that is left out although it may hold pictures.
    """

    paths: list[Path]
    skipped: list[str]


def list_images(root: Path) -> ImageListing:
    """List the pictures below a folder, to any depth.

    Links to folders are followed, each folder once: the path without a link wins, and loops end. Hidden files and
    folders are skipped.

    Args:
        root: an existing folder; it may be hidden or a link itself.

    Raises:
        OSError: it cannot be read.
    """
    paths, skipped = [], []
    unread: dict[str, list[Path]] = {}
    seen: set[tuple[int, int]] = set()
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise
            skipped.append(f"folder {folder} cannot be opened ({error.strerror})")
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name in _NOT_USERS:
                continue
            kind = _kind(entry)
            if kind == "folder":
                (links if entry.is_symlink() else folders).append(path)
            elif kind == "other":
                continue
            elif is_image(path):
                paths.append(path)
            elif (
                path.suffix.lower() not in UNSUPPORTED_VIDEO_SUFFIXES
                and (reason := unsupported_reason(path)) is not None
            ):
                unread.setdefault(reason, []).append(path)
    for reason, files in sorted(unread.items()):
        some = ", ".join(str(path.relative_to(root)) for path in sorted(files)[:3])
        skipped.append(f"{len(files)} {'file' if len(files) == 1 else 'files'} in {root}, such as {some}: {reason}")
    return ImageListing(sorted(paths), skipped)


def _kind(entry: os.DirEntry) -> str:
    """Return "folder", "file", which includes links that lead nowhere, or "other": pipes, sockets, devices."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
        return "other"
    except OSError:  # a link that leads nowhere, or to itself: reading it will say so
        return "file"


def find_missing_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths that are no files, each once. Each folder is listed once, which is faster than asking by file.

    Args:
        paths: of files, in any order.
    """
    listed: dict[Path, set[str]] = {}
    for path in dict.fromkeys(paths):
        folder = path.parent
        if folder not in listed:
            try:
                listed[folder] = {entry.name for entry in os.scandir(folder)}
            except (OSError, ValueError):  # a name with a null character
                listed[folder] = set()
        if path.name not in listed[folder]:
            yield path


def overlay_path(number: int, image: str) -> Path:
    """Return where `predict` writes an image with its skeletons, relative to the folder of the results.

    Args:
        number: the number of images drawn before it.
        image: name or path of the original image.
    """
    return Path("overlays") / f"{number:05d}_{Path(image).stem}.jpg"


def is_overlay(path: Path) -> bool:
    """Return whether a path was made by :func:`overlay_path`, in any folder.

    Results may lie below a folder of images; overlays there are not inputs.

    >>> is_overlay(Path("found") / overlay_path(12, "anna.png")), is_overlay(Path("overlays/anna.jpg"))
    (True, False)
    """
    return path.parent.name == "overlays" and re.fullmatch(r"\d{5,}_.*\.jpg", path.name, re.DOTALL) is not None

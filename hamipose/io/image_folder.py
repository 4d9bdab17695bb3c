"""List the images of a folder; unreadable formats are reported, hidden files and earlier overlays are recognized."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hamipose.io.media_types import UNSUPPORTED_VIDEO_SUFFIXES, is_image, unsupported_reason

__all__ = ["ImageListing", "find_missing_files", "is_overlay", "list_images", "overlay_path"]

#: Folders that operating systems and programs create; hidden ones begin with a dot.
_SYSTEM_FOLDERS = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found")


@dataclass(frozen=True)
class ImageListing:
    """Images of a folder.

    Attributes:
        paths: paths of the images, sorted.
        skipped: one line for each kind of file and each folder that was skipped although it may contain images.
    """

    paths: list[Path]
    skipped: list[str]


def list_images(root: Path) -> ImageListing:
    """List the images below a folder, at any depth.

    Links to folders are followed, but each folder is listed once, if possible by its path without links. Hidden files
    and folders are skipped.

    Args:
        root: existing folder; it may be hidden or a link.

    Raises:
        OSError: the folder cannot be read.
    """
    paths, skipped = [], []
    unsupported: dict[str, list[Path]] = {}
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
            if entry.name.startswith(".") or entry.name in _SYSTEM_FOLDERS:
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
                unsupported.setdefault(reason, []).append(path)
    for reason, files in sorted(unsupported.items()):
        some = ", ".join(str(path.relative_to(root)) for path in sorted(files)[:3])
        skipped.append(f"{len(files)} {'file' if len(files) == 1 else 'files'} in {root}, such as {some}: {reason}")
    return ImageListing(sorted(paths), skipped)


def _kind(entry: os.DirEntry) -> str:
    """Return "folder", "file" (including broken links) or "other" (pipes, sockets, devices)."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
        return "other"
    except OSError:  # a broken link, or a link to itself: reading it reports an error
        return "file"


def find_missing_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths that do not exist, each once. Each folder is listed once, which is faster than a test per file.

    Args:
        paths: paths of files, in any order.
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

"""Match names of images in a file with images on disk, by the longest common suffix of their paths."""

import mimetypes
import os
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from hamipose.errors import UserError
from hamipose.io.json_file import to_one_line

__all__ = [
    "ImageMatches",
    "PathSuffixes",
    "_image_exists",
    "check_images_exist",
    "locate_images",
    "match_images",
    "normalize_path",
]

_MAX_FILES = 500_000  # folders with more files are not searched

Key = TypeVar("Key", bound=Hashable)


def _parts(name: str) -> tuple[str, ...]:
    r"""Return the folders and the file name of a path of any operating system.

    >>> _parts("C:\\data\\a.jpg"), _parts("./in/a.jpg")
    (('C:', 'data', 'a.jpg'), ('in', 'a.jpg'))
    """
    return tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))


def normalize_path(name: str) -> str:
    r"""Return the name of an image with / as separator and without `.`.

    >>> normalize_path(".\\in\\a.jpg")
    'in/a.jpg'
    """
    return "/".join(_parts(name))


class PathSuffixes:
    """Index of paths by all of their suffixes.

    Args:
        paths: paths of images, or names of images in a file.
    """

    def __init__(self, paths: Iterable[str]):
        self._by_suffix: dict[tuple[str, ...], list[str]] = {}
        for path in dict.fromkeys(paths):
            parts = _parts(path)
            for first in range(len(parts)):
                self._by_suffix.setdefault(parts[first:], []).append(path)

    def nearest(self, name: str) -> tuple[list[str], int]:
        """Return the paths with the longest common suffix with a name, and the number of common parts."""
        parts = _parts(name)
        for first in range(len(parts)):
            if found := self._by_suffix.get(parts[first:]):
                return found, len(parts) - first
        return [], 0


@dataclass
class ImageMatches(Generic[Key]):
    """Images that were found by name, and names that match several images."""

    found: dict[Key, str] = field(default_factory=dict)
    ambiguous: dict[Key, list[str]] = field(default_factory=dict)


def match_images(
    keys: Mapping[Key, str | int], paths: Sequence[str], direct: Mapping[str, str] | None = None
) -> ImageMatches[Key]:
    """Match each name with a path.

    A name matches the path with the longest common suffix; it is ambiguous if several paths tie. If different names
    match the same path, the name with the longer common suffix gets it, or the name that is a complete suffix of the
    path. A number matches the path whose file name ends in it (1001: im1001.jpg), if there is exactly one.

    Args:
        keys: names or numbers of images.
        paths: all paths.
        direct: names whose path is already known; their paths are not available to other names.
    """
    ends = PathSuffixes(paths)
    by_number: dict[int, list[str]] = {}
    for path in paths:
        parts = _parts(path)
        if parts and (digits := re.search(r"(\d{1,18})$", Path(parts[-1]).stem)):
            by_number.setdefault(int(digits[1]), []).append(path)
    matches: ImageMatches[Key] = ImageMatches()
    claims: dict[str, dict[tuple[str, ...], float]] = {}  # path → name → common parts, plus ½ if all are common
    for taken, path in (direct or {}).items():
        claims.setdefault(path, {})[_parts(taken)] = float("inf")
    wanted: dict[Key, tuple[tuple[str, ...], str]] = {}
    for key, name in keys.items():
        if isinstance(name, int):
            candidates, common, parts = by_number.get(name, []), 1, (f"#{name}",)
        else:
            (candidates, common), parts = ends.nearest(name), _parts(name)
        if len(candidates) > 1:
            matches.ambiguous[key] = candidates
        elif candidates:
            claims.setdefault(candidates[0], {})[parts] = common + (common == len(parts)) / 2
            wanted[key] = (parts, candidates[0])
    for key, (parts, path) in wanted.items():
        rivals = [end for other, end in claims[path].items() if other != parts]
        if not rivals or claims[path][parts] > max(rivals):
            matches.found[key] = path
        elif claims[path][parts] == max(rivals):
            matches.ambiguous[key] = [path]
    return matches


def _list_images_below(folder: Path) -> list[str]:
    """Return the images below a folder, by their suffixes; an empty list if the folder is too large to search."""
    if folder.resolve() in (Path("/"), Path.home()):
        return []
    found: list[str] = []
    count = 0
    for where, _, files in os.walk(folder):
        count += len(files)
        if count > _MAX_FILES:
            return []
        found += [
            os.path.join(where, file) for file in files if (mimetypes.guess_type(file)[0] or "").startswith("image/")
        ]
    return sorted(found)


def _image_exists(path: Path) -> bool:
    """Return whether the file exists; False if the name is invalid."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def check_images_exist(paths: Sequence[str], source: Path) -> None:
    """Check that all images exist.

    Args:
        paths: paths of the images.
        source: the file that names them.

    Raises:
        UserError: an image does not exist.
    """
    missing = [path for path in paths if not _image_exists(Path(path))]
    if missing:
        more = f", nor do {len(missing) - 1} of the other {len(paths) - 1}" if len(missing) > 1 else ""
        raise UserError(
            f"image {to_one_line(missing[0])}, named in {source}, does not exist{more}; expected file names below the "
            "folder of images"
        )


def locate_images(folder: Path, names: Iterable[str | int]) -> ImageMatches[str | int]:
    r"""Find the images that a file names.

    A name is a path below the folder, with / or \ as separator. If there is no such file, the folder is searched, see
    :func:`match_images`.

    Args:
        folder: folder of the images.
        names: names or numbers of images.
    """
    names = list(dict.fromkeys(names))
    direct: dict[str, str] = {}
    for name in names:
        for spelling in () if isinstance(name, int) else (name, name.replace("\\", "/")):
            if isinstance(name, str) and _image_exists(folder / spelling):
                direct[name] = str(folder / spelling)
                break
    found: dict[str | int, str] = dict(direct.items())
    rest = [name for name in names if name not in direct]
    if not rest:
        return ImageMatches(found)
    paths = _list_images_below(folder)
    relative = {os.path.relpath(path, folder): path for path in paths}
    taken = {name: os.path.relpath(path, folder) for name, path in direct.items()}
    matches = match_images({name: name for name in rest}, list(relative), taken)
    found.update({key: str(folder / path) for key, path in matches.found.items()})
    return ImageMatches(found, {key: [str(folder / p) for p in several] for key, several in matches.ambiguous.items()})

"""Match pictures that a file names with pictures on disk, by the shortest ends of their paths that tell them apart."""

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

_MOST_FILES = 500_000  # that a folder is searched through

Key = TypeVar("Key", bound=Hashable)


def _parts(name: str) -> tuple[str, ...]:
    r"""Return the folders and the file of a path of any system.

    >>> _parts("C:\\data\\a.jpg"), _parts("./in/a.jpg")
    (('C:', 'data', 'a.jpg'), ('in', 'a.jpg'))
    """
    return tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))


def normalize_path(name: str) -> str:
    r"""Return a name of a picture in one spelling.

    >>> plain_path(".\\in\\a.jpg")
    'in/a.jpg'
    """
    return "/".join(_parts(name))


class PathSuffixes:
    """Paths by all of their ends.

    Args:
        paths: of pictures, or names of pictures in a file.
    """

    def __init__(self, paths: Iterable[str]):
        self._by_end: dict[tuple[str, ...], list[str]] = {}
        for path in dict.fromkeys(paths):
            parts = _parts(path)
            for first in range(len(parts)):
                self._by_end.setdefault(parts[first:], []).append(path)

    def nearest(self, name: str) -> tuple[list[str], int]:
        """Return the paths whose ends have most parts in common with a name, and how many parts that are."""
        parts = _parts(name)
        for first in range(len(parts)):
            if found := self._by_end.get(parts[first:]):
                return found, len(parts) - first
        return [], 0


@dataclass
class ImageMatches(Generic[Key]):
    """Pictures found, and those that could be several."""

    found: dict[Key, str] = field(default_factory=dict)
    ambiguous: dict[Key, list[str]] = field(default_factory=dict)


def match_images(
    keys: Mapping[Key, str | int], paths: Sequence[str], direct: Mapping[str, str] | None = None
) -> ImageMatches[Key]:
    """Return the path that each name means.

    A name means the path whose end has most folders in common with it, beginning with the file itself; two that tie
    are ambiguous. Where two different names would mean one path, the one that has more in common with it does, or all
    of whose folders are the path's. A number means the path whose file ends in it (1001: im1001.jpg), if that is one.

    Args:
        keys: names or numbers of pictures.
        paths: all that there are.
        direct: names whose path is known already; these paths are taken.
    """
    ends = PathSuffixes(paths)
    by_number: dict[int, list[str]] = {}
    for path in paths:
        parts = _parts(path)
        if parts and (digits := re.search(r"(\d{1,18})$", Path(parts[-1]).stem)):
            by_number.setdefault(int(digits[1]), []).append(path)
    matches: ImageMatches[Key] = ImageMatches()
    claims: dict[str, dict[tuple[str, ...], float]] = {}  # path → name → parts in common, ½ more if all are
    for taken, path in (direct or {}).items():
        claims.setdefault(path, {})[_parts(taken)] = float("inf")
    wanted: dict[Key, tuple[tuple[str, ...], str]] = {}
    for key, name in keys.items():
        if isinstance(name, int):
            near, common, parts = by_number.get(name, []), 1, (f"#{name}",)
        else:
            (near, common), parts = ends.nearest(name), _parts(name)
        if len(near) > 1:
            matches.ambiguous[key] = near
        elif near:
            claims.setdefault(near[0], {})[parts] = common + (common == len(parts)) / 2
            wanted[key] = (parts, near[0])
    for key, (parts, path) in wanted.items():
        rivals = [end for other, end in claims[path].items() if other != parts]
        if not rivals or claims[path][parts] > max(rivals):
            matches.found[key] = path
        elif claims[path][parts] == max(rivals):
            matches.ambiguous[key] = [path]
    return matches


def _list_images_below(folder: Path) -> list[str]:
    """Return the pictures below a folder, by their endings; nothing of a folder that is too large to search."""
    if folder.resolve() in (Path("/"), Path.home()):
        return []
    found: list[str] = []
    seen = 0
    for where, _, files in os.walk(folder):
        seen += len(files)
        if seen > _MOST_FILES:
            return []
        found += [
            os.path.join(where, file) for file in files if (mimetypes.guess_type(file)[0] or "").startswith("image/")
        ]
    return sorted(found)


def _image_exists(path: Path) -> bool:
    """Return whether there is such a file; of a name that cannot be one, that there is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def check_images_exist(paths: Sequence[str], source: Path) -> None:
    """Check that all pictures that a file names are there.

    Args:
        paths: of the pictures.
        source: the file.

    Raises:
        UserError: some are not.
    """
    missing = [path for path in paths if not _image_exists(Path(path))]
    if missing:
        more = f", nor do {len(missing) - 1} of the other {len(paths) - 1}" if len(missing) > 1 else ""
        raise UserError(
            f"image {to_one_line(missing[0])}, named in {source}, does not exist{more}; expected file names below the "
            "folder of pictures"
        )


def locate_images(folder: Path, names: Iterable[str | int]) -> ImageMatches[str | int]:
    r"""Return where the pictures are that a file names.

    A name is a path below the folder, with / or \; where there is no such file, the folder is searched through, see
    :func:`match_images`.

    Args:
        folder: of the pictures.
        names: of pictures in the file, or their numbers.
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

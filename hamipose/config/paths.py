"""Find the ready-made configs, and the data folders that configs name as ``data/…``."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["configs_folder", "find_data_paths", "relocate_data_paths"]

_ROOT = "data/"


def configs_folder(package: str = "hamipose") -> Path:
    """Return the folder of a package's ready-made configs: ``configs/`` of a clone, or where pip installed them."""
    clone = Path(__file__).parent.parent.parent / "configs" / package
    return clone if clone.is_dir() else Path(sys.prefix) / "share" / package / "configs"


def find_data_paths(spec: Any) -> Iterator[str]:
    """Every path below ``data/`` that a config's content names, at any depth.

    >>> list(named({"root": "data/lsp", "sets": [{"file": "data/a.npz"}, 3], "out": "runs"}))
    ['data/lsp', 'data/a.npz']
    """
    if isinstance(spec, str):
        if spec.startswith(_ROOT):
            yield spec
    elif isinstance(spec, Mapping | list):
        for value in spec.values() if isinstance(spec, Mapping) else spec:
            yield from find_data_paths(value)


def relocate_data_paths(spec: Any, root: Path | None) -> Any:
    """The same content, with its paths below ``data/`` below `root`; as it is where None.

    >>> relocated({"root": "data/lsp"}, Path("/sets"))
    {'root': '/sets/lsp'}
    """
    if isinstance(spec, Mapping):
        return {key: relocate_data_paths(value, root) for key, value in spec.items()}
    if isinstance(spec, list):
        return [relocate_data_paths(value, root) for value in spec]
    if root is not None and isinstance(spec, str) and spec.startswith(_ROOT):
        return str(root / spec.removeprefix(_ROOT))
    return spec

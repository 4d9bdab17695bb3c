"""Read configs that inherit from each other, and create the objects that they describe."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.io.yaml_file import read_yaml

__all__ = [
    "expand_config_arguments",
    "find_data_paths",
    "import_class",
    "instantiate",
    "load_config",
    "relocate_data_paths",
    "resolve_inheritance",
]

_DATA_ROOT = "data/"


def resolve_inheritance(path: Path) -> list[Path]:
    """Return a config and all files that it inherits from (``inherit:``), base files first.

    Args:
        path: the config.

    Raises:
        UserError: a file is missing, is not a YAML mapping, inherits from itself, or has an invalid ``inherit:``.
    """
    return [file for file, _ in _read_inheritance(path)]


def _read_inheritance(path: Path, children: tuple[Path, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """Return a config and all files that it inherits from, base files first, with their contents.

    Args:
        path: the config.
        children: the configs that led to this one, used to detect cycles.

    Raises:
        UserError: see :func:`resolve_inheritance`.
    """
    if path.resolve() in children:
        raise UserError(f"config {path} inherits from itself; check its line inherit:")
    if children and not path.is_file():
        raise UserError(f"config {path}, which {children[-1]} inherits from, cannot be read; check its line inherit:")
    content = read_yaml(path, "config", "lines such as model: and data:")
    parents = content.get("inherit") or []
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise UserError(f"config {path}: inherit is {parents!r}, expected the name of a config, or a list of names")
    files: list[tuple[Path, dict[str, Any]]] = []
    for parent in parents:
        files += _read_inheritance(path.parent / parent, (*children, path.resolve()))
    return [*files, (path, content)]


def expand_config_arguments(arguments: list[str]) -> list[str]:
    """Return command-line arguments in which each ``--config FILE`` follows the files that FILE inherits from.

    Raises:
        UserError: ``--config`` has no file, or a config is invalid (:func:`resolve_inheritance`).
    """
    expanded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if option not in ("--config", "-c"):
            expanded.append(argument)
            continue
        value = value if equals else next(rest, "")
        if not value:
            raise UserError("--config needs a file")
        expanded += [word for path in resolve_inheritance(Path(value)) for word in ("--config", str(path))]
    return expanded


def load_config(path: Path) -> dict[str, Any]:
    """Return a config merged with everything that it inherits; later files override earlier ones.

    Defaults of constructors are not included (``fit --print_config`` adds them).

    Raises:
        UserError: a file is missing, is not a YAML mapping, or inherits from itself.
    """
    content: dict[str, Any] = {}
    for _, own in _read_inheritance(path):
        content = _merge(content, own)
    content.pop("inherit", None)
    return content


def _merge(base: Any, override: Any) -> Any:
    """Return `base` with the values of `override`.

    If `override` names another class, only those arguments of `base` are kept that the new class accepts.
    """
    if not (isinstance(base, dict) and isinstance(override, dict)):
        return override
    if "class_path" in override and override["class_path"] != base.get("class_path"):
        accepted = _parameters(override["class_path"])
        kept = {name: value for name, value in (base.get("init_args") or {}).items() if name in accepted}
        arguments = _merge(kept, override.get("init_args") or {})
        return {**override, **({"init_args": arguments} if arguments else {})}
    return {**base, **{key: _merge(base.get(key), value) for key, value in override.items()}}


def _parameters(class_path: str) -> set[str]:
    """Return the names of a class's constructor arguments; an empty set if it cannot be imported (`fit` reports it)."""
    try:
        return set(inspect.signature(import_class(class_path)).parameters)
    except (ImportError, AttributeError, ValueError):
        return set()


def import_class(path: str) -> type:
    """Return the class at a class path such as ``hamipose.gating.KeypointGate``."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def instantiate(spec: Any) -> Any:
    """Create the objects that a config describes by class_path and init_args, at any depth; return other values as is.

    >>> instantiate({"class_path": "fractions.Fraction", "init_args": {"numerator": 3}})
    Fraction(3, 1)
    """
    if isinstance(spec, list):
        return [instantiate(item) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    if "class_path" not in spec:
        return {key: instantiate(value) for key, value in spec.items()}
    return import_class(spec["class_path"])(**instantiate(spec.get("init_args") or {}))


def find_data_paths(spec: Any) -> Iterator[str]:
    """Yield every path below ``data/`` in the content of a config, at any depth.

    >>> list(find_data_paths({"root": "data/lsp", "sets": [{"file": "data/a.npz"}, 3], "out": "runs"}))
    ['data/lsp', 'data/a.npz']
    """
    if isinstance(spec, str):
        if spec.startswith(_DATA_ROOT):
            yield spec
    elif isinstance(spec, Mapping | list):
        for value in spec.values() if isinstance(spec, Mapping) else spec:
            yield from find_data_paths(value)


def relocate_data_paths(spec: Any, root: Path | None) -> Any:
    """Return the content of a config with ``data/`` in its paths replaced by `root`; unchanged if `root` is None.

    >>> relocate_data_paths({"root": "data/lsp"}, Path("/sets"))
    {'root': '/sets/lsp'}
    """
    if isinstance(spec, Mapping):
        return {key: relocate_data_paths(value, root) for key, value in spec.items()}
    if isinstance(spec, list):
        return [relocate_data_paths(value, root) for value in spec]
    if root is not None and isinstance(spec, str) and spec.startswith(_DATA_ROOT):
        return str(root / spec.removeprefix(_DATA_ROOT))
    return spec

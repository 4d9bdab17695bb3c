"""Configs that state differences: a file's `inherit:` names the files that it builds on."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.io.yaml_file import read_yaml

__all__ = ["expand_config_arguments", "load_config", "resolve_inheritance"]


def resolve_inheritance(path: Path, below: tuple[Path, ...] = ()) -> list[Path]:
    """A config and all that it inherits from, oldest first.

    Raises:
        UserError: a file is missing, is no YAML mapping, inherits from itself, or names no files to inherit from.
    """
    if path.resolve() in below:
        raise UserError(f"config {path} inherits from itself; check its line inherit:")
    if below and not path.is_file():
        raise UserError(f"config {path}, which {below[-1]} inherits from, cannot be read; check its line inherit:")
    content = read_yaml(path, "config", "lines such as model: and data:")
    parents = content.get("inherit") or []
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise UserError(f"config {path}: inherit is {parents!r}, expected the name of a config, or a list of names")
    found: list[Path] = []
    for parent in parents:
        found += resolve_inheritance(path.parent / parent, (*below, path.resolve()))
    return [*found, path]


def expand_config_arguments(arguments: list[str]) -> list[str]:
    """Command line arguments in which every ``--config FILE`` is preceded by those that FILE inherits from."""
    expanded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if option not in ("--config", "-c"):
            expanded.append(argument)
            continue
        value = value if equals else next(rest, "")
        if not value:
            raise UserError("--config is given without a file")
        expanded += [word for path in resolve_inheritance(Path(value)) for word in ("--config", str(path))]
    return expanded


def load_config(path: Path) -> dict[str, Any]:
    """A config with all that it inherits, later files over earlier ones. (`fit --print_config` adds the defaults.)

    Raises:
        UserError: a file is missing, is no YAML mapping, or inherits from itself.
    """
    content: dict[str, Any] = {}
    for file in resolve_inheritance(path):
        content = _merge(content, read_yaml(file, "config", "options"))
    content.pop("inherit", None)
    return content


def _merge(below: Any, above: Any) -> Any:
    """What a later config states, and all else as it was; of another class's arguments those that the new one takes."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if "class_path" in above and above["class_path"] != below.get("class_path"):
        takes = _parameters(above["class_path"])
        kept = {name: value for name, value in (below.get("init_args") or {}).items() if name in takes}
        arguments = _merge(kept, above.get("init_args") or {})
        return {**above, **({"init_args": arguments} if arguments else {})}
    return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}


def _parameters(class_path: str) -> set[str]:
    """Names of what a class is made from; none where it cannot be imported, which `fit` will say."""
    module, _, name = class_path.rpartition(".")
    try:
        return set(inspect.signature(getattr(import_module(module), name)).parameters)
    except (ImportError, AttributeError, ValueError):
        return set()

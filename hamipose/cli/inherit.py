"""Configs that state differences: a file's `inherit:` names the files that it builds on."""

from pathlib import Path

import yaml

from hamipose.errors import InputError

__all__ = ["expand", "lineage"]


def lineage(path: Path, below: tuple[Path, ...] = ()) -> list[Path]:
    """A config and all that it inherits from, oldest first.

    Raises:
        InputError: a file is missing, is no YAML mapping, or inherits from itself.
    """
    if path.resolve() in below:
        raise InputError(f"config {path} inherits from itself; check its line inherit:")
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        where = f", which {below[-1]} inherits from," if below else ""
        raise InputError(f"config {path}{where} cannot be read ({error.strerror}); give a YAML file") from None
    except yaml.YAMLError as error:
        raise InputError(f"config {path} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"config {path} holds no options; expected lines such as model: and data:")
    parents = content.get("inherit") or []
    parents = [parents] if isinstance(parents, str) else parents
    found: list[Path] = []
    for parent in parents:
        found += lineage(path.parent / parent, (*below, path.resolve()))
    return [*found, path]


def expand(arguments: list[str]) -> list[str]:
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
            raise InputError("--config is given without a file")
        expanded += [word for path in lineage(Path(value)) for word in ("--config", str(path))]
    return expanded

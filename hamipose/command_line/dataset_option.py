"""Build a data set from the command line: its class, and its constructor's arguments as options."""

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import yaml

from hamipose.errors import UserError

__all__ = ["build_dataset"]


def build_dataset(name: str, words: Sequence[str], home: ModuleType, kind: type, example: str) -> Any:
    """Build the data set of ``--data NAME --root DIR …``, without preparing it.

    Args:
        name: name of a class in `home`, with or without the name of `home` in front.
        words: ``--name value`` or ``--name=value`` for arguments of the constructor; values are read as YAML.
        home: the module of the data sets.
        kind: required base class.
        example: a valid name for the error message.

    Raises:
        UserError: there is no such data set, an option is unknown, or a required option is missing.
    """
    short = name.removeprefix(f"{home.__name__}.")
    dataset = getattr(home, short, None)
    if not (isinstance(dataset, type) and issubclass(dataset, kind)):
        raise UserError(f"--data is {name}; expected a data set with labels of {home.__name__}, such as {example}")
    try:
        return dataset(**_options(words, dataset))
    except TypeError as error:
        raise UserError(f"{short} cannot be built: {error}; give missing arguments as --name value") from None


def _options(words: Sequence[str], kind: type) -> dict[str, Any]:
    known = list(inspect.signature(kind).parameters)
    options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise UserError(
                f"{word} is neither an option of the verb nor of {kind.__name__}; expected one of {', '.join(known)}"
            )
        text = value if equals else next(rest, None)
        if text is None:
            raise UserError(f"--{name} has no value")
        try:
            options[name] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"--{name} {text} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
    return options

"""A data set named on the command line, with its constructor's arguments as options: ``--data NAME --root DIR …``."""

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import yaml

from hamipose.errors import UserError

__all__ = ["named_set"]


def named_set(name: str, words: Sequence[str], home: ModuleType, kind: type, example: str) -> Any:
    """The data set of a name; nothing is prepared yet.

    Args:
        name: of a class in `home`, with or without the latter's name in front.
        words: ``--name value`` or ``--name=value``, as its constructor calls them; values are read as YAML.
        home: where data sets are.
        kind: what it has to be.
        example: a name that would do, for the message.

    Raises:
        UserError: there is no such data set, it has no such option, or lacks one that it needs.
    """
    short = name.removeprefix(f"{home.__name__}.")
    found = getattr(home, short, None)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise UserError(f"--data is {name}, which is no data set with labels of {home.__name__}, such as {example}")
    try:
        return found(**_options(words, found))
    except TypeError as error:
        raise UserError(f"{short} cannot be made: {error}; give what it lacks as --name value") from None


def _options(words: Sequence[str], kind: type) -> dict[str, Any]:
    known = list(inspect.signature(kind).parameters)
    options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise UserError(
                f"{word} is no option of {kind.__name__}, whose options are {', '.join(known)}, nor one of the verb"
            )
        text = value if equals else next(rest, None)
        if text is None:
            raise UserError(f"--{name} is given without a value")
        try:
            options[name] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"--{name} {text} is no valid YAML: {' '.join(str(error).split())[:200]}") from None
    return options

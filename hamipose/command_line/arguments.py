"""Argument parser of both packages' verbs: no abbreviations of options, errors in one line."""

import argparse
import functools
from collections.abc import Callable
from typing import Any, NoReturn

from hamipose.errors import UserError

__all__ = ["Arguments", "at_least"]


class Arguments(argparse.ArgumentParser):
    """Parser of argparse that raises a :class:`UserError` for wrong arguments.

    Args:
        prog: the command, such as ``python -m hamipose data``.
        options: options of argparse's parser. An epilog of several lines keeps its line breaks.
    """

    def __init__(self, prog: str | None = None, **options: Any) -> None:
        if "\n" in (options.get("epilog") or ""):
            options = {"formatter_class": argparse.RawDescriptionHelpFormatter, **options}
        super().__init__(prog, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`UserError` with a message of one line."""
        raise UserError(f"{message}; see {self.prog} --help")


@functools.cache
def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of integers of at least `least`, for the `type` of an option."""

    def read(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is not an integer") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small, expected at least {least}")
        return value

    return read

"""A parser of short verbs, for both packages: no abbreviations, and mistakes in one line."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from hamipose.errors import UserError

__all__ = ["Arguments", "at_least"]


class Arguments(argparse.ArgumentParser):
    """As argparse's, with mistakes told as every other bad input.

    Args:
        prog: the command, such as ``python -m hamipose data``.
        options: of argparse's parser. An epilog of several lines keeps them as they stand.
    """

    def __init__(self, prog: str | None = None, **options: Any) -> None:
        if "\n" in (options.get("epilog") or ""):
            options = {"formatter_class": argparse.RawDescriptionHelpFormatter, **options}
        super().__init__(prog, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """One line, and the front door's exit status."""
        raise UserError(f"{message}; {self.prog} --help shows what it takes")


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number, and no smaller than `least`."""

    def read(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small, expected at least {least}")
        return value

    return read

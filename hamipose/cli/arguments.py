"""A parser of short verbs, for both packages: no abbreviations, and mistakes in one line."""

import argparse
from typing import Any, NoReturn

from hamipose.errors import InputError

__all__ = ["Arguments"]


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
        raise InputError(f"{message}; {self.prog} --help shows what it takes")

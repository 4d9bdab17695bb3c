"""A parser of short verbs, for both packages: no abbreviations, and mistakes in one line."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hamipose.engine.budget import Budget
from hamipose.errors import UserError

__all__ = ["Arguments", "add_table_options", "at_least"]


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


def add_table_options(parser: argparse.ArgumentParser, budget: Budget) -> None:
    """What the tables of both packages are asked for with.

    Args:
        parser: gets the options.
        budget: the default.
    """
    add = parser.add_argument
    add("--scale", choices=["small", "paper"], default="small", help="paper: needs the data sets, and days")
    add("--data", type=Path, default=os.environ.get("HAMIPOSE_DATA"), help="what configs call data/")
    add("--seeds", type=at_least(0), nargs="+", default=[0, 1])
    add("--only", nargs="+", default=[], metavar="ROW", help="rows to run and show, by their names")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--dry-run", action="store_true", help="say what is missing and how long it may take, and stop")
    add("--no-runs", action="store_true", help="put together what is finished, and start nothing")
    add("--runs", type=Path, default=Path("runs/tables"), help="where runs are kept")
    add("--out", type=Path, default=Path("runs/tables"), help="where Markdown, CSV and plots go")
    add("--start-steps", type=int, default=budget.start, help="small scale: of what all rows of a seed start from")
    add("--steps", type=int, default=budget.steps, help="small scale: of every row, from there")

"""A parser of short verbs: no abbreviations, and mistakes in one line."""

import argparse
from typing import Any, NoReturn

from hamipose.errors import InputError

__all__ = ["Arguments"]


class Arguments(argparse.ArgumentParser):
    """As argparse's, with mistakes told as every other bad input.

    Args:
        verb: what follows ``python -m meshtto``.
        description: a sentence for ``--help``.
        epilog: examples, kept as they stand.
    """

    def __init__(self, verb: str, description: str, epilog: str, **options: Any) -> None:
        super().__init__(
            f"python -m meshtto {verb}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """One line, and the front door's exit status."""
        raise InputError(f"{message}; {self.prog} --help shows what it takes")

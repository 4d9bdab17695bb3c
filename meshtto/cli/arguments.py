"""Argument parser of short verbs, without abbreviations and with one-line errors."""

from typing import Any

from hamipose.command_line import arguments

__all__ = ["Arguments"]


class Arguments(arguments.Arguments):
    """The parser of both packages, for ``python -m meshtto``.

    Args:
        verb: the verb after ``python -m meshtto``.
        description: a sentence for ``--help``.
        epilog: examples, printed verbatim.
    """

    def __init__(self, verb: str, description: str, epilog: str, **options: Any) -> None:
        super().__init__(f"python -m meshtto {verb}", description=description, epilog=epilog, **options)

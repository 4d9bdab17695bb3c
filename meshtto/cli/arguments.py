"""A parser of short verbs: no abbreviations, and mistakes in one line."""

from typing import Any

from hamipose.cli import arguments

__all__ = ["Arguments"]


class Arguments(arguments.Arguments):
    """That of both packages, for ``python -m meshtto``.

    Args:
        verb: what follows ``python -m meshtto``.
        description: a sentence for ``--help``.
        epilog: examples, kept as they stand.
    """

    def __init__(self, verb: str, description: str, epilog: str, **options: Any) -> None:
        super().__init__(f"python -m meshtto {verb}", description=description, epilog=epilog, **options)

"""How a row of a table is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A training; rows that are trained alike share it.

    Attributes:
        name: folder of its runs.
        config: file in the package's folder of configs.
        options: laid over the config, by the command line's names.
    """

    name: str
    config: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

"""Build the parser of each command line once for many tests, because it takes half a second."""

from typing import Any

import pytest
from lightning.pytorch.cli import LightningCLI

_make = LightningCLI.setup_parser
_made: dict[tuple[Any, ...], dict[str, Any]] = {}


def share_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command lines of a class share their parsers, which depend on nothing else but the verbs."""

    def setup_parser(self: LightningCLI, *args: Any, **kwargs: Any) -> None:
        key = (type(self), *self.subcommands())
        if key not in _made:
            before = set(vars(self))
            _make(self, *args, **kwargs)
            _made[key] = {name: value for name, value in vars(self).items() if name not in before}
        vars(self).update(_made[key])

    monkeypatch.setattr(LightningCLI, "setup_parser", setup_parser)

"""Build the parser of each command line once per process, because it takes half a second."""

from typing import Any

from lightning.pytorch.cli import LightningCLI

__all__ = ["share_parsers"]

_build = LightningCLI.setup_parser
_built: dict[tuple[Any, ...], dict[str, Any]] = {}


def share_parsers() -> None:
    """Let equal command lines share their parsers, which depend on nothing else but classes and verbs."""
    LightningCLI.setup_parser = _setup_parser  # type: ignore[method-assign]


def _setup_parser(self: LightningCLI, *args: Any, **kwargs: Any) -> None:
    key = (type(self), self.model_class, self.datamodule_class, *self.subcommands())
    if key not in _built:
        before = set(vars(self))
        _build(self, *args, **kwargs)
        _built[key] = {name: value for name, value in vars(self).items() if name not in before}
    vars(self).update(_built[key])
    vars(self.parser).pop("print_config", None)  # left by a command line that failed

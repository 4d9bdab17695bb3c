"""Build the parser of each command line once per process, which takes half a second, and look options up faster."""

from typing import Any

from jsonargparse import _actions, _core, _subcommands
from lightning.pytorch.cli import LightningCLI

__all__ = ["share_parsers"]

_build = LightningCLI.setup_parser
_built: dict[tuple[Any, ...], dict[str, Any]] = {}


def share_parsers() -> None:
    """Let equal command lines share their parsers, which depend on nothing else but classes and verbs."""
    LightningCLI.setup_parser = _setup_parser  # type: ignore[method-assign]
    for module in (_core, _subcommands):
        module.find_action_and_subcommand = _find_action  # type: ignore[attr-defined]


def _setup_parser(self: LightningCLI, *args: Any, **kwargs: Any) -> None:
    key = (type(self), self.model_class, self.datamodule_class, *self.subcommands())
    if key not in _built:
        before = set(vars(self))
        _build(self, *args, **kwargs)
        _built[key] = {name: value for name, value in vars(self).items() if name not in before}
    vars(self).update(_built[key])
    vars(self.parser).pop("print_config", None)  # left by a command line that failed


_find = _subcommands.find_action_and_subcommand
_FALLBACK = (_actions._ActionConfigLoad, _actions.ActionFail)
_indices: dict[int, tuple[list[Any], int, dict[str, list[Any]] | None]] = {}


def _find_action(parser: Any, dest: str, exclude: Any = None) -> tuple[Any, str | None]:
    """Return what jsonargparse's function of this name returns, which searches all options thousands of times."""
    actions = parser._actions
    kept = _indices.get(id(actions))
    if kept is None or kept[0] is not actions or kept[1] != len(actions):
        if len(_indices) > 200:
            _indices.clear()
        kept = _indices[id(actions)] = (actions, len(actions), _index(actions))
    if kept[2] is None:
        return _find(parser, dest, exclude=exclude)
    fallback = None
    for action in kept[2].get(dest, ()):
        if exclude is not None and isinstance(action, exclude):
            continue
        if not isinstance(action, _FALLBACK):
            return action, None
        fallback = action
    return fallback, None


def _index(actions: list[Any]) -> dict[str, list[Any]] | None:
    """Return the options by name; None for a parser of verbs."""
    index: dict[str, list[Any]] = {}
    for action in _actions.filter_non_parsing_actions(actions):
        if isinstance(action, _subcommands.ActionSubCommands):
            return None
        options = {option[2:] for option in action.option_strings if option.startswith("--")}
        for name in {action.dest, *options}:
            index.setdefault(name, []).append(action)
    return index

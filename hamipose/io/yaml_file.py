"""Reader of YAML files: configs, and files in run folders and model folders."""

from pathlib import Path
from typing import Any

import yaml

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["read_yaml"]

#: Nine times as fast as the loader in Python.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 500  # levels; much deeper files crash the loader in C, and the one in Python is quadratic in it


def _check_nesting(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")


def read_yaml(path: Path, what: str, expected: str) -> dict[str, Any]:
    """Return the content of a YAML file, which must be a mapping.

    Args:
        path: the file.
        what: description of the file at the beginning of messages, such as "config".
        expected: description of the expected content for messages.

    Raises:
        UserError: the file cannot be opened, is not valid YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        _check_nesting(text)
        content = yaml.load(text, Loader=_LOADER)
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}); give a YAML file") from None
    except Exception as error:  # besides YAMLError: text that is not UTF-8, invalid dates, deep nesting
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{what} {path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        kind = explain(path, "YAML", "JSON text", "a text file")
        also = "" if "not YAML" in kind else f"; the file {kind}"
        raise UserError(f"{what} {path} contains no options; expected {expected}{also}")
    return content

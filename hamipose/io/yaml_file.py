"""The one reader of YAML files: configs, and what runs and model folders write down."""

from pathlib import Path
from typing import Any

import yaml

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["read_yaml"]


def read_yaml(path: Path, what: str, expected: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Args:
        path: the file.
        what: it is, which begins every message: "config".
        expected: what should be in it, for a file that holds something else.

    Raises:
        UserError: the file cannot be opened, is no valid YAML, or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}); give a YAML file") from None
    except Exception as error:  # besides YAMLError: text that is not UTF-8, dates that are none, endless nesting
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{what} {path} is no valid YAML: {told}") from None
    if not isinstance(content, dict):
        told = explain(path, "YAML", "JSON text", "a text file")
        also = "" if "not YAML" in told else f"; the file {told}"
        raise UserError(f"{what} {path} holds no options; expected {expected}{also}")
    return content

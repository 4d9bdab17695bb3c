"""A JSON annotation file, or one line that says why it is none."""

import json
from pathlib import Path
from typing import Any

from hamipose.errors import InputError
from hamipose.io.foreign import explain, reason

__all__ = ["read_json"]


def read_json(path: Path, expected: str) -> Any:
    """The file's content.

    Args:
        path: the file.
        expected: what should be there, for the message.

    Raises:
        InputError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"annotation file {path} cannot be read ({error.strerror}); expected {expected}") from None
    except (ValueError, RecursionError) as error:
        told = explain(path, "JSON", "JSON text", "a text file")
        told = f"is no valid JSON ({reason(error)})" if "is cut short, damaged" in told else told
        raise InputError(f"annotation file {path} {told}; expected {expected}") from None

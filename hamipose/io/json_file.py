"""Read JSON files in any encoding, with one-line errors."""

import json
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.io.file_type import explain

__all__ = ["format_value", "read_json", "read_list", "read_record", "to_one_line"]

_OWN = "the content that this program wrote: restore the file, or delete it and repeat the command that wrote it"


def read_json(path: str | Path, expected: str, what: str = "annotation file") -> Any:
    """Return the content of a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        path: the file.
        expected: description of the expected content for messages.
        what: description of the file for messages.

    Raises:
        UserError: the file cannot be read, or is not JSON.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}); expected {expected}") from None
    except ValueError:  # a path with a null character
        raise UserError(f"{what} {str(path)!r} cannot be read (not a path); expected {expected}") from None
    where = f"{what} {path}"
    if not data.strip():
        raise UserError(f"{where} is empty; expected {expected}")
    try:
        return json.loads(data)  # detects the encoding from the first bytes
    except RecursionError:
        raise UserError(f"{where} is not valid JSON (nested too deeply); expected {expected}") from None
    except ValueError as error:  # UnicodeDecodeError among them
        cause = explain(path, "JSON", "JSON text", "a text file")
        if "is cut short, damaged" not in cause:
            raise UserError(f"{where} {cause}; expected {expected}") from None
        raise UserError(f"{where} is not valid JSON ({error}); expected {expected}") from None


def read_record(path: str | Path, *keys: str) -> dict[str, Any]:
    """Return the content of a JSON file that this program wrote.

    Args:
        path: the file.
        *keys: required keys.

    Raises:
        UserError: the file is damaged or lacks a key.
    """
    content = read_json(path, _OWN, "file")
    if not isinstance(content, dict):
        raise UserError(f"file {path} contains {format_value(content)}; expected {_OWN}")
    if lacking := [key for key in keys if key not in content]:
        raise UserError(f"file {path} lacks {', '.join(lacking)}; expected {_OWN}")
    return content


def read_list(path: str | Path, *keys: str) -> list[dict[str, Any]]:
    """Return a list of records from a JSON file that this program wrote; see :func:`read_record`."""
    content = read_json(path, _OWN, "file")
    if not isinstance(content, list) or not all(isinstance(r, dict) and set(keys) <= r.keys() for r in content):
        raise UserError(f"file {path} is not a list of records with {', '.join(keys)}; expected {_OWN}")
    return content


def format_value(value: object, max_length: int = 60) -> str:
    r"""Format a value of a file for a message: on one line, shortened to `max_length` characters.

    >>> format_value("a\nb"), format_value([0] * 100, 12)
    ("'a\\nb'", '[0, 0, 0, 0…')
    """
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # an integer of thousands of digits
        text = f"<{type(value).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def to_one_line(text: str) -> str:
    r"""Format text of a file for a message: without line breaks and control characters.

    >>> to_one_line("a\nb.jpg")
    'a\\nb.jpg'
    """
    plain = text.isprintable()
    return text if plain else repr(text)[1:-1].encode("utf-8", "backslashreplace").decode()

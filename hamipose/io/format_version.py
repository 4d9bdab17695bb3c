"""Check the format of files that the packages write, so that a newer one is refused in one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hamipose.errors import UserError
from hamipose.version import __version__

__all__ = ["check_folder_format"]


def check_folder_format(content: Mapping[str, Any], package: str, newest: int, path: Path) -> None:
    """Check that this version can read the config of a model folder.

    Args:
        content: the config; its entry `<package>_model` is the format.
        package: the package that wrote the folder, hamipose or meshtto.
        newest: the newest format that this version reads.
        path: the config's file, for messages.

    Raises:
        UserError: the format is missing, or newer.
    """
    key = f"{package}_model"
    found = content.get(key)
    if not isinstance(found, int):
        raise UserError(f"{path} is not the config of a model folder: {key} is missing; expected {newest}")
    if found > newest:
        raise UserError(
            f"{path} has format {found}, but this {package} ({__version__}) reads formats up to {newest}; install the "
            f"version that wrote it ({content.get('written_by', 'unknown')}) or a newer one"
        )

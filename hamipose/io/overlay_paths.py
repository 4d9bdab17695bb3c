"""Pictures that `predict` draws, by names that tell them from photos: its results may lie below a folder of photos."""

import re
from pathlib import Path

__all__ = ["is_overlay", "overlay_path"]


def overlay_path(number: int, picture: str) -> Path:
    """Where a picture with its skeletons goes, below the folder of the results.

    Args:
        number: of pictures drawn before it.
        picture: the photo's name or path.
    """
    return Path("overlays") / f"{number:05d}_{Path(picture).stem}.jpg"


def is_overlay(path: Path) -> bool:
    """Whether :func:`overlay_path` gave the path, below whatever folder.

    >>> is_drawn(Path("found") / drawn_path(12, "anna.png")), is_drawn(Path("overlays/anna.jpg"))
    (True, False)
    """
    return path.parent.name == "overlays" and re.fullmatch(r"\d{5,}_.*\.jpg", path.name, re.DOTALL) is not None

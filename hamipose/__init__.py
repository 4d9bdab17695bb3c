"""Pose estimation that adapts itself to footage nobody labeled (HamiPose, CVPR 2026)."""

import importlib
import os
from typing import Any

from hamipose.version import __version__

# albumentations asks the network for a newer version of itself on import; clusters without one would wait.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load` when it is first asked for: torch is slow to import."""
    if name == "load":
        return importlib.import_module("hamipose.inference.loading").load
    raise AttributeError(f"module hamipose has no {name}")

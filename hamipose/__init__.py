"""Pose estimation that adapts itself to footage nobody labeled (HamiPose, CVPR 2026)."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

# albumentations asks the network for a newer version of itself on import; clusters without one would wait.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` when it is first asked for: torch is slow to import."""
    if name == "load":
        return importlib.import_module("hamipose.inference.predictor").load
    raise AttributeError(f"module hamipose has no {name}")


def configs_folder(package: str = "hamipose") -> Path:
    """Where a package's ready-made configs are: in a clone below ``configs``, else where installation put them."""
    clone = Path(__file__).parent.parent / "configs" / package
    return clone if clone.is_dir() else Path(sys.prefix) / "share" / package / "configs"

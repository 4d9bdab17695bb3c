"""Methods, one Lightning module each, under the short names that configs use."""

import importlib
from typing import Any

_MODULES = {
    "Dual": ".dual",
    "EFT": ".eft",
    "LastCheckpoint": "hamipose.engine.checkpoints",
    "MeshImages": ".image_callback",
    "MeshMethod": ".base",
    "Meta": ".meta",
    "PredictionFile": ".file_callbacks",
    "Regression": ".regression",
    "ScoreFile": ".file_callbacks",
    "load": ".checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first access: lightning is slow to load."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__} has no {name}")

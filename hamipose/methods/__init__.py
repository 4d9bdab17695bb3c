"""Methods, one Lightning module each, by the short names that configs use."""

import importlib
from typing import Any

_MODULES = {
    "CCSSL": ".ccssl",
    "CGDM": ".cgdm",
    "Fishr": ".fishr",
    "GGA": ".gga",
    "HamiPose": ".hamipose",
    "LastCheckpoint": "hamipose.engine.checkpoints",
    "MDAM": ".mdam",
    "MeanTeacher": ".mean_teacher",
    "PGDA": ".pgda",
    "PoseMethod": ".base",
    "PredictionImages": ".image_callback",
    "PredictionWriter": "hamipose.evaluation.callbacks",
    "RegDA": ".regda",
    "SAGM": ".sagm",
    "SAM": ".sam",
    "SFHPE": ".sfhpe",
    "ScoreFile": "hamipose.evaluation.callbacks",
    "SourceOnly": ".source_only",
    "UniFrame": ".uniframe",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first access, because lightning is slow to load."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__} has no {name}")

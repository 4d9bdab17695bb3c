"""Data sets of people with meshes and the data module, under the short names that configs use."""

import importlib
from typing import Any

_MODULES = {
    "Augmentation": "augmentation",
    "BuiltinMeshes": "datasets.builtin",
    "BuiltinPoses": "datasets.poses",
    "Detector": "simulated_detector",
    "Human36MMeshes": "datasets.h36m",
    "KeypointsOnly": "datasets.keypoints",
    "MeshData": "datamodule",
    "MeshDataset": "base",
    "MpiInf3dhp": "datasets.mpi_inf_3dhp",
    "SpinAnnotations": "datasets.spin",
    "ThreeDPW": "datasets.threedpw",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first access: lightning and anny are slow to load."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__} has no {name}")

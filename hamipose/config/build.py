"""Objects that a config describes, for verbs that want some of them without Lightning's command line."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

__all__ = ["import_class", "instantiate"]


def import_class(path: str) -> type:
    """The class that a class path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def instantiate(spec: Any) -> Any:
    """What a config describes by class_path and init_args, at any depth; anything else as it is."""
    if isinstance(spec, list):
        return [instantiate(item) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    if "class_path" not in spec:
        return {key: instantiate(value) for key, value in spec.items()}
    return import_class(spec["class_path"])(**instantiate(spec.get("init_args") or {}))

"""Objects that a config describes, for verbs that want some of them without Lightning's command line."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

__all__ = ["build", "find_class"]


def find_class(path: str) -> type:
    """The class that a class path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def build(spec: Any) -> Any:
    """What a config describes by class_path and init_args, at any depth; anything else as it is."""
    if isinstance(spec, list):
        return [build(item) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    if "class_path" not in spec:
        return {key: build(value) for key, value in spec.items()}
    return find_class(spec["class_path"])(**build(spec.get("init_args") or {}))

"""Stable names of the package."""

import importlib
import subprocess
import sys

import pytest

import hamipose


@pytest.mark.parametrize("name", hamipose.__all__)
def test_stable_names_are_those_of_their_modules(name: str):
    module = hamipose._MODULES.get(name, "hamipose.version")
    assert getattr(hamipose, name) is getattr(importlib.import_module(module), name)
    assert name in dir(hamipose)


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match="module 'hamipose' has no attribute 'Load'"):
        hamipose.Load  # noqa: B018


@pytest.mark.parametrize(
    ("name", "heavy"), [("__version__", "torch"), ("BODY16", "torch"), ("Hamiltonian", "lightning")]
)
def test_names_import_only_what_they_need(name: str, heavy: str):
    code = f"import sys, hamipose; dir(hamipose); hamipose.{name}; print({heavy!r} in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"

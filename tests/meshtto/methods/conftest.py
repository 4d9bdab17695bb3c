"""Tiny runs of the real thing: the built-in body as colored dots, 32 px, and a network of a few hundred thousand
numbers.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import mesh_run
from tests.helpers.tiny_runs import elsewhere, told

SCRIPT = Path(mesh_run.__file__)


class Tiny:
    """The names of :mod:`tests.helpers.mesh_run`, and its `run` with options that are not JSON."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mesh_run, name)

    def fit(self, **options: Any) -> Any:
        """Trains; returns the trainer."""
        threads = torch.get_num_threads()
        try:
            return mesh_run.run(told(options))
        finally:
            torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(scope="session")
def fit_elsewhere() -> Callable[..., subprocess.CompletedProcess]:
    """Runs in a process of its own."""

    def call(**options: Any) -> subprocess.CompletedProcess:
        return elsewhere(SCRIPT, told(options))

    return call

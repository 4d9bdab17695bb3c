"""Fixtures for tiny runs: the built-in body as colored dots, 32 px, and a small network."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import fit_mesh
from tests.helpers.processes import run_script, to_json_options

SCRIPT = Path(fit_mesh.__file__)


class Tiny:
    """Names of :mod:`tests.helpers.fit_mesh`, and its `run` with options that are not JSON."""

    def __getattr__(self, name: str) -> Any:
        return getattr(fit_mesh, name)

    def fit(self, **options: Any) -> Any:
        """Train, and return the trainer."""
        threads = torch.get_num_threads()
        try:
            return fit_mesh.run(to_json_options(options))
        finally:
            torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(scope="session")
def fit_elsewhere() -> Callable[..., subprocess.CompletedProcess]:
    """Run in a separate process."""

    def call(world: int = 1, **options: Any) -> subprocess.CompletedProcess:
        given = to_json_options({**options, "world": world})
        return run_script(SCRIPT, given, world if world > 1 else None)

    return call

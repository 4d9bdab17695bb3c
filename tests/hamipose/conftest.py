"""Fixtures: data sets of colored dots, and training runs in this process and in others."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import fit_pose
from tests.helpers.processes import launch_script, run_script, to_json_options

SCRIPT = Path(fit_pose.__file__)


@pytest.fixture(scope="session")
def fit() -> Callable[..., Any]:
    """Return a function that trains in this process and returns the trainer."""

    def call(**options: Any) -> Any:
        threads = torch.get_num_threads()
        try:
            return fit_pose.run(to_json_options(options))
        finally:
            torch.set_num_threads(threads)

    return call


@pytest.fixture(scope="session")
def fit_elsewhere() -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that trains in new processes: forked ones, or those that a `launcher` starts."""

    def call(launcher: str | None = None, world: int = 1, **options: Any) -> subprocess.CompletedProcess:
        given = to_json_options({**options, "world": world})
        if launcher == "torchrun":
            return launch_script(SCRIPT, given, world)
        return run_script(SCRIPT, given, world if world > 1 and launcher is None else None)

    return call


@pytest.fixture(scope="session")
def fit_in_two() -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that trains several models in turn, in two processes with half the batch each."""

    def call(runs: list[dict[str, Any]]) -> subprocess.CompletedProcess:
        return run_script(SCRIPT, [to_json_options(options) for options in runs], processes=2)

    return call

"""A killed and resumed run ends like an uninterrupted run."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.engine.checkpoints import get_random_state, set_random_state
from tests.helpers.processes import assert_identical, read_last_checkpoint

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("optimizer", "killed_at", "saved_at"),
    [("hamiltonian", 8, 6), ("adamw", 11, 10)],
    ids=["inside an epoch", "between two epochs"],
)
def test_killed_and_resumed_run_equals_uninterrupted_run(
    fit, fit_elsewhere, dots: Path, tmp_path: Path, optimizer: str, killed_at: int, saved_at: int
):
    options = {"dots": dots, "optimizer": optimizer, "pretrain": 2, "metric": "diagonal", "jitter": True}
    fit(out=tmp_path / "whole", **options)
    dead = fit_elsewhere(out=tmp_path / "killed", kill=killed_at, **options)
    assert dead.returncode == -9, dead.stderr
    assert read_last_checkpoint(tmp_path / "killed")["global_step"] == saved_at
    torch.manual_seed(99)  # the random state of the new process must not matter
    fit(
        out=tmp_path / "resumed",
        resume=tmp_path / "killed" / "checkpoints" / "last.ckpt",
        workers=1 if killed_at == 8 else 0,
        **options,
    )
    whole, resumed = read_last_checkpoint(tmp_path / "whole"), read_last_checkpoint(tmp_path / "resumed")
    assert whole["global_step"] == resumed["global_step"] == 15
    for end in (whole, resumed):
        del end["random_state"]["python"]  # the type checker of the tests draws from it
    for part in ("random_state", "lr_schedulers", "state_dict", "optimizer_states", "epoch", "hyper_parameters"):
        assert_identical(whole[part], resumed[part], part)


def test_random_state_round_trip():
    state = get_random_state()

    def draw() -> list[float]:
        legacy = [np.random.rand(), np.random.randn()]  # noqa: NPY002  the generator that is saved
        return [float(torch.rand(())), *legacy, random.random(), random.gauss(0, 1)]

    drawn = draw()
    set_random_state(state)
    assert draw() == drawn

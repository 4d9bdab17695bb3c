"""A killed and resumed run ends like an uninterrupted run."""

from pathlib import Path

import pytest
import torch

from hamipose.errors import UserError
from tests.helpers.processes import assert_identical, read_last_checkpoint

pytestmark = pytest.mark.slow


def test_resumed_run_equals_uninterrupted_run(tiny, fit_elsewhere, tmp_path: Path):
    """Resume inside an epoch, with dropout, which uses the restored random state."""
    options = {"method": "Dual", "dropout": 0.5}
    tiny.fit(out=tmp_path / "whole", **options)
    dead = fit_elsewhere(out=tmp_path / "killed", kill=7, **options)
    assert dead.returncode == -9, dead.stderr
    assert read_last_checkpoint(tmp_path / "killed")["global_step"] == 6
    torch.manual_seed(99)  # the random state of the new process must not matter
    tiny.fit(out=tmp_path / "resumed", resume=tmp_path / "killed" / "checkpoints" / "last.ckpt", **options)
    whole, resumed = read_last_checkpoint(tmp_path / "whole"), read_last_checkpoint(tmp_path / "resumed")
    assert whole["global_step"] == resumed["global_step"] == 8
    for end in (whole, resumed):
        del end["random_state"]["python"]  # the type checker of the tests draws from it
    for part in ("random_state", "lr_schedulers", "state_dict", "optimizer_states", "epoch", "hyper_parameters"):
        assert_identical(whole[part], resumed[part], part)


def test_resume_rejects_changed_options(tiny, tmp_path: Path):
    options = {"out": tmp_path, "method": "Regression", "epochs": 1}
    tiny.fit(**options)
    checkpoint = str(tmp_path / "checkpoints" / "last.ckpt")
    for changed, words in (
        ({"optimizer": "sgd"}, "the class Adam; expected SGD"),
        ({"steps": 5}, "steps_per_epoch .* is 5, but the run in the checkpoint has 4"),
        ({"init_from": checkpoint}, "training.init_from is .*started with null"),
    ):
        with pytest.raises(UserError, match=words) as error:
            tiny.fit(**options, resume=checkpoint, **changed)
        assert "\n" not in str(error.value)

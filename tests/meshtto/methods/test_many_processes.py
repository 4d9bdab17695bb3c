"""Two processes with half the batch each give the same result as one process with the whole batch."""

import json
from pathlib import Path

import pytest

from tests.helpers.processes import read_last_checkpoint

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("choice", [{"second_order": True}, {"auxiliary_loss": False}], ids=lambda c: next(iter(c)))
def test_training_with_two_processes_equals_one(fit_elsewhere, tmp_path: Path, choice: dict[str, bool]):
    ends, logged = [], []
    for world in (1, 2):
        out = tmp_path / str(world)
        # BatchNorm is frozen and dropout is off, because they would use half the batch.
        options = {"method": "Dual", "freeze": True, "dropout": 0.0, "optimizer": "sgd", **choice}
        done = fit_elsewhere(out=out, world=world, epochs=1, **options)
        assert done.returncode == 0, done.stderr[-3000:]
        ends.append(read_last_checkpoint(out))
        logged.append(json.loads((out / "logged.json").read_text()))
    one, two = (end["state_dict"] for end in ends)
    for name, whole in one.items():
        assert (two[name] - whole).abs().max() <= 1e-4 * whole.abs().max(), name
    # Both sets have an odd size: no person is counted twice.
    for name in logged[0]:
        if name.startswith(("val/", "test/")):
            assert logged[1][name] == pytest.approx(logged[0][name], rel=1e-4), name

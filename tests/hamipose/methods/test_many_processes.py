"""Two processes with half the batch each give the same result as one process with the whole batch."""

import json
from pathlib import Path

import pytest

from tests.helpers.processes import read_last_checkpoint

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "adaptation", [{}, {"labels": "keypoint", "discard_fraction": 0.5}], ids=["heatmap", "keypoint"]
)
def test_two_processes_equal_one(fit_elsewhere, dots: Path, tmp_path: Path, adaptation: dict):
    ends, scores = [], []
    for world in (1, 2):
        out = tmp_path / str(world)
        # BatchNorm is frozen: it would use half the batch (SyncBatchNorm needs a GPU).
        options = {"freeze": True, "epochs": 2, "optimizer": "sgd", "metric": "diagonal", "adaptation": adaptation}
        launcher = None if world == 1 else "torchrun" if adaptation else "lightning"  # as users start processes
        done = fit_elsewhere(dots=dots, out=out, world=world, launcher=launcher, **options)
        assert done.returncode == 0, done.stderr[-3000:]
        ends.append(read_last_checkpoint(out))
        scores.append(json.loads((out / "scores.json").read_text()))
    one, two = (end["state_dict"] for end in ends)
    for name, whole in one.items():
        # Sums are taken in another order: measured 1e-6 of a tensor's largest entry. Processes that gate on their own
        # halves end 0.3 apart.
        assert (two[name] - whole).abs().max() <= 1e-4 * whole.abs().max(), name
    # Both sets have an odd size: no image is counted twice.
    for name in scores[0]:
        if "pck" in name:
            assert scores[1][name] == pytest.approx(scores[0][name], abs=1e-6), name

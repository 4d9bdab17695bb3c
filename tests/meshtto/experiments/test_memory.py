"""Memory of the table's rows: what autograd keeps for a whole batch, groups within the limit, shared weights once."""

from functools import partial

import pytest

from hamipose.engine.experiments import Recipe
from meshtto.experiments import memory
from meshtto.experiments.rows import SMALL, Row
from meshtto.methods.grouping import autograd_bytes

_ROWS = {row.name: row for row in SMALL}


@pytest.mark.parametrize("name", ["regression", "meta", "dual"])
def test_training_memory_is_that_of_a_whole_batch(name: str):
    row = _ROWS[name]
    method, data = memory._method(row.training)
    batch = memory.random_people(data["batch_size"], (data["height"], data["width"]))
    kept = autograd_bytes(partial(method.train().objective, batch), list(method.parameters()))
    parameters = sum(p.numel() * 4 for p in method.parameters())
    assert memory.row_memory(row).training == pytest.approx(4 * parameters + kept, rel=0.03)


def test_two_networks_need_more_memory_than_one():
    sizes = [memory.row_memory(_ROWS[name]).training for name in ("regression", "dual")]
    assert sizes[1] > 1.8 * sizes[0]


def test_people_with_their_own_weights_are_adapted_in_groups_that_fit():
    phase = {"steps": 1, "scope": "all", "rule": {"class_path": "meshtto.test_time.Adam", "init_args": {"lr": 1e-4}}}
    training = Recipe("regression", "builtin_small_regression.yaml")
    limited = Row("a", "a", training, ({**phase, "pseudo_mesh": False},), other_options={"memory_gib": 0.5})
    found = memory.row_memory(limited)
    method, _ = memory._method(training)
    networks = sum(p.numel() * 4 for p in method.parameters())
    assert 1 < found.together < 32
    each = (found.test - networks) / found.together / 2**30
    assert found.together * each <= 0.5 < (found.together + 1) * each
    shared = Row("b", "b", training, ({**phase, "pseudo_mesh": False, "inner": "shared"},), batch_size=20)
    together = memory.row_memory(shared)
    assert together.together == 20
    assert together.test < networks + 20 * each * 2**30


def test_table_lists_every_row():
    table = memory.memory_table((_ROWS["regression"], _ROWS["dual"]))
    assert [row[0] for row in table.rows] == ["Regression, 2D alone", "Dual, 2D and pseudo-mesh"]
    assert [row[1] for row in table.rows] == ["16", "16"]

from dataclasses import dataclass
from pathlib import Path

import pytest

from hamipose.engine.experiment_page import failures, missing_notes
from hamipose.engine.experiments import Budget, Cell, select_rows, training_options
from hamipose.engine.runs import Run
from hamipose.errors import UserError


@dataclass(frozen=True)
class Row:
    label: str
    name: str


ROWS = [Row("Mean teacher", "mean_teacher"), Row("HamiPose", "hamipose")]


def names(row: Row) -> tuple[str, str]:
    return row.label, row.name


def test_select_rows_finds_labels_and_names_in_any_case():
    assert select_rows(ROWS, names, []) == ROWS
    assert select_rows(ROWS, names, ["hamipose", "MEAN TEACHER"]) == ROWS
    assert select_rows(ROWS, names, ["mean_teacher"]) == ROWS[:1]
    with pytest.raises(UserError, match="no row is called ours; expected some of Mean teacher; HamiPose"):
        select_rows(ROWS, names, ["ours"])


@pytest.mark.parametrize(("start", "steps"), [(100, 50), (95, 40), (100, 0), (0, 40)])
def test_budget_rejects_steps_that_epochs_do_not_divide(start: int, steps: int):
    with pytest.raises(UserError, match="must be a multiple of its"):
        Budget(start, steps)


def test_training_options_start_from_the_last_checkpoint(tmp_path: Path):
    assert training_options(3, 4, 0, None) == {"seed_everything": "3", "trainer.max_epochs": "4"}
    start = Run(tmp_path, ("fit",), 10, 10)
    options = training_options(3, 4, 100, start)
    assert options["data.steps_per_epoch"] == "100"
    assert options["model.init_args.training.init_from"] == str(tmp_path / "checkpoints/last.ckpt")
    assert options["model.init_args.training.warmup_steps"] == "50"


def test_failures_name_rows_and_seeds(tmp_path: Path):
    runs = {seed: Run(tmp_path / str(seed), ("fit",), 1, 1) for seed in (0, 1)}
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "failed.txt").write_text("out of memory\n")
    missing = failures([Cell(ROWS[0], {}, "no data"), Cell(ROWS[1], runs)])
    assert missing == {
        "no data": ["Mean teacher"],
        "not run": ["HamiPose (seed 0)"],
        "out of memory": ["HamiPose (seed 1)"],
    }
    assert missing_notes(missing, "people")[0] == "Empty, people: Mean teacher: no data"

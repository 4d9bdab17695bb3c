"""Tables out of run folders written by hand."""

import csv
import json
import statistics
from pathlib import Path

import pytest

from hamipose.engine.budget import Budget
from hamipose.engine.metrics_file import read_run
from hamipose.engine.recipe import Recipe
from hamipose.engine.runs import Run
from hamipose.experiments.page import title, write
from hamipose.experiments.rows import Plan, Row, cell_label, plan
from hamipose.experiments.runs import Cell
from hamipose.experiments.scores import selected
from hamipose.experiments.table import Score, collect, grid, markdown
from hamipose.experiments.transfers import Transfer

TRANSFER = Transfer("dots", "dots → darker dots", "demo.yaml", "dark", printed="surreal_to_lsp")

#: (validation, student's and teacher's headline) of each epoch
EPOCHS = {
    0: [(0.1, 0.30, 0.20), (0.5, 0.20, 0.40), (0.4, 0.25, 0.36)],
    1: [(0.1, 0.3, 0.50), (0.6, 0.2, 0.3), (0.4, 0.3, 0.40)],
}


def run(folder: Path, seed: int, name: str, epochs: list[tuple[float, float, float]]) -> Run:
    """A finished run of ten steps an epoch."""
    made = Run(folder / f"seed{seed}" / name, ("fit", "--config", f"{name}.yaml"), len(epochs), 10)
    made.folder.mkdir(parents=True)
    columns = ["val/pck", "test/dark/pck", "test/dark/student/pck@0.05", "test/dark/teacher/pck@0.05"]
    columns += ["test/dark/teacher/pck@0.05/elbow", "test/dark/teacher/pck@0.1", "step"]
    with (made.folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "train/conflict"])
        for epoch, (validation, student, teacher) in enumerate(epochs):
            writer.writerow([""] * 6 + [10 * epoch + 5, 0.3])
            writer.writerow([validation, teacher, student, teacher, teacher / 2, teacher + 0.3, 10 * epoch + 9, ""])
    (made.folder / "scores.json").write_text(json.dumps({"epoch": len(epochs)}))
    (made.folder / "run.json").write_text(json.dumps({"arguments": made.arguments, "revision": "abc1234"}))
    (made.folder / "wall.json").write_text(json.dumps([{"steps": 10 * len(epochs), "seconds": 6.0}]))
    return made


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    ours = {seed: run(tmp_path, seed, "ours", epochs) for seed, epochs in EPOCHS.items()}
    failed = Run(tmp_path / "seed1/regda", ("fit",), 3, 10)
    failed.folder.mkdir()
    (failed.folder / "failed.txt").write_text("failed with status 1: RuntimeError: out of memory\n")
    others = {0: run(tmp_path, 0, "regda", EPOCHS[1]), 1: failed}
    rows = {name: Row(name, Recipe(name, "demo.yaml")) for name in ("HamiPose", "RegDA")}
    return [
        Cell(rows["HamiPose"], TRANSFER, ours),
        Cell(rows["RegDA"], TRANSFER, others),
        Cell(Row("GGF"), TRANSFER, {}, "no code is public"),
    ]


def line(text: str, *beginning: str) -> list[str]:
    """Cells of the one line that begins so."""
    found = [part for part in text.splitlines() if part.startswith("| " + " | ".join(beginning) + " |")]
    assert len(found) == 1, found
    return [cell.strip() for cell in found[0].strip("|").split("|")]


TABLE = Plan("table1", "Adaptation", (TRANSFER,), (TRANSFER,), (), 1)


def test_selections_look_where_they_may(tmp_path):
    columns = read_run(run(tmp_path, 0, "ours", EPOCHS[0]).folder)
    found = selected(columns, "dark")
    headline = {selection: networks["teacher"]["pck@0.05"] for selection, networks in found.items()}
    assert headline == pytest.approx({"last": 36, "source-selected": 40, "oracle-selected": 40})
    assert list(found["last"]) == ["student", "teacher"], "the network that a user gets comes last"
    columns = read_run(run(tmp_path, 1, "ours", EPOCHS[1]).folder)
    headline = {selection: networks["teacher"]["pck@0.05"] for selection, networks in selected(columns, "dark").items()}
    assert headline == pytest.approx({"last": 40, "source-selected": 30, "oracle-selected": 50})


def test_the_students_column_does_not_pass_for_the_users_network(tmp_path):
    folder = run(tmp_path, 0, "ours", [(0.1, 0.9, 0.2)]).folder
    text = (folder / "metrics.csv").read_text().replace("teacher", "alpha").replace("student", "zeta")
    (folder / "metrics.csv").write_text(text)
    assert list(selected(read_run(folder), "dark")["last"])[-1] == "alpha"


def test_mean_and_deviation_over_seeds(cells):
    scores, _ = collect(cells)
    text = markdown(TABLE, TRANSFER, cells, scores, paper=False)
    spread = statistics.stdev([36, 40])
    last = line(text, "HamiPose", "last")
    assert last[2:5] == ["teacher", "2", f"38.0 ± {spread:.1f}"]
    assert last[6] == f"19.0 ± {spread / 2:.1f}"  # elbow
    assert last[-1] == f"68.0 ± {spread:.1f}"  # at 0.1
    assert line(text, "HamiPose", "source-selected")[4].startswith("35.0 ±")
    assert line(text, "HamiPose", "oracle-selected (no result)")[4].startswith("45.0 ±")


def test_a_row_may_show_another_network_of_the_same_run(cells):
    row = cells[0].row
    cells.append(Cell(Row("its student", row.small, network="student"), TRANSFER, cells[0].runs))
    cells.append(Cell(Row("nothing", row.small, network="target-statistics"), TRANSFER, cells[0].runs))
    scores, notes = collect(cells)
    text = markdown(TABLE, TRANSFER, cells, scores, paper=False)
    assert line(text, "HamiPose", "last")[2:5] == ["teacher", "2", line(text, "HamiPose", "last")[4]]
    spread = statistics.stdev([25, 30])
    assert line(text, "its student", "last")[2:5] == ["student", "2", f"27.5 ± {spread:.1f}"]
    assert any("nothing (seed 0)" in note and "no scores of target-statistics on dark" in note for note in notes)


def test_one_seed_has_no_deviation_and_what_was_not_run_is_empty(cells):
    scores, notes = collect(cells)
    text = markdown(TABLE, TRANSFER, cells, scores, paper=False)
    assert line(text, "RegDA", "last")[3:5] == ["1", "40.0"]
    assert set(line(text, "GGF", "")[1:]) == {""}
    assert any("RegDA (seed 1): failed with status 1: RuntimeError: out of memory" in note for note in notes)
    assert any("GGF: no code is public" in note for note in notes)


def test_the_papers_figures_stand_beside_ours_at_its_scale_alone(cells):
    scores, _ = collect(cells)
    small = markdown(TABLE, TRANSFER, cells, scores, paper=False)
    paper = markdown(TABLE, TRANSFER, cells, scores, paper=True)
    assert "printed" not in small
    assert "83.9" not in small
    assert line(paper, "HamiPose", "printed in the paper")[4] == "83.9"
    assert line(paper, "GGF", "printed in the paper")[4:7] == ["80.2", "69.2", "82.0"]


def test_the_published_protocol_has_a_table_of_its_own(cells):
    scores, _ = collect(cells)
    values = {"pck@0.05": 12.0, "paper-tll/pck@0.05": 13.0, "paper-tll/pck@0.05/elbow": 14.0}
    other = Score("dots", "dark", "somebody's", "last", "", True, 0, values)
    text = markdown(TABLE, TRANSFER, cells, [*scores, other], paper=True, protocol="as RegDA averages")
    assert line(text, "somebody's", "last")[4:7] == ["13.0", "", "14.0"]
    assert set(line(text, "HamiPose", "last")[4:]) == {""}
    assert line(text, "HamiPose", "printed in the paper")[4] == "83.9"


def test_a_system_that_was_only_evaluated_has_its_row(cells):
    scores, _ = collect(cells)
    other = Score("dots", "dark", "somebody's", "as predicted", "", True, None, {"pck@0.05": 12.0, "pck@0.1": 34.0})
    text = markdown(TABLE, TRANSFER, cells, [*scores, other], paper=False)
    found = line(text, "somebody's", "as predicted")
    assert (found[4], found[-1]) == ("12.0", "34.0")


@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5", "figure4", "figure5"])
def test_the_title_says_which_scale_it_is(name):
    small, paper = title(plan(name), "small"), title(plan(name), "paper")
    assert small.startswith(("Table", "Figure"))
    assert "at a small scale, NOT the paper's" in small
    assert "NOT" not in paper
    assert "at the paper's scale" in paper


def test_table_5_is_a_grid(tmp_path):
    transfer = Transfer("hands", "hands", "demo.yaml", "photo", printed="rhd_to_h3d")
    label = cell_label(0.0, 0.1, 2.0)
    scores = [Score("hands", "photo", label, "last", "teacher", True, s, {"pck@0.05": 60.0 + s}) for s in (0, 2)]
    text = grid(transfer, scores, cell_label, paper=False)
    assert line(text, "0", "10 %") == ["0", "10 %", "", "", "61.0 ± 1.4", "", ""]
    assert line(text, "0.5", "20 %")[2:] == [""] * 5
    assert line(grid(transfer, scores, cell_label, paper=True), "0", "10 %, printed")[4] == "70.3"


def test_the_page_has_everything_to_judge_and_repeat_it(cells, tmp_path):
    budget = Budget(20, 40)
    path = write(
        TABLE, "small", cells, extra=[], budget=budget, sets={}, command="hamipose report …", out=tmp_path / "out"
    )
    text = path.read_text()
    for word in ("no result", "abc1234", "torch ", "hamipose report …", "out of memory", "0.20", "ours.yaml"):
        assert word in text, word
    assert (tmp_path / "out/table1_small.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out/table1_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 3  # runs, networks, selections
    one = next(
        r for r in rows if (r["method"], r["seed"], r["selection"], r["given"]) == ("HamiPose", "1", "last", "1")
    )
    assert (one["network"], one["pck@0.05"]) == ("teacher", "40.000")

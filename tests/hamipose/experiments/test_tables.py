"""Tables from run folders that are written by the tests."""

import csv
import json
import statistics
from pathlib import Path

import pytest

from hamipose.engine.experiments import Budget, Recipe
from hamipose.engine.metrics_file import read_run
from hamipose.engine.runs import Run
from hamipose.experiments.page import page_title, write_page
from hamipose.experiments.results import Result, collect, select_scores
from hamipose.experiments.rows import Row, TableSpec, sensitivity_label, table_spec
from hamipose.experiments.runs import TransferCell
from hamipose.experiments.tables import sensitivity_table, transfer_table
from hamipose.experiments.transfers import Transfer

TRANSFER = Transfer("dots", "dots → darker dots", "demo.yaml", "dark", paper_name="surreal_to_lsp")

#: (validation, student's and teacher's headline) of each epoch
EPOCHS = {
    0: [(0.1, 0.30, 0.20), (0.5, 0.20, 0.40), (0.4, 0.25, 0.36)],
    1: [(0.1, 0.3, 0.50), (0.6, 0.2, 0.3), (0.4, 0.3, 0.40)],
}


def run(folder: Path, seed: int, name: str, epochs: list[tuple[float, float, float]]) -> Run:
    """Write a finished run with ten steps per epoch."""
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
def cells(tmp_path: Path) -> list[TransferCell]:
    ours = {seed: run(tmp_path, seed, "ours", epochs) for seed, epochs in EPOCHS.items()}
    failed = Run(tmp_path / "seed1/regda", ("fit",), 3, 10)
    failed.folder.mkdir()
    (failed.folder / "failed.txt").write_text("failed with status 1: RuntimeError: out of memory\n")
    others = {0: run(tmp_path, 0, "regda", EPOCHS[1]), 1: failed}
    rows = {name: Row(name, Recipe(name, "demo.yaml")) for name in ("HamiPose", "RegDA")}
    return [
        TransferCell(rows["HamiPose"], ours, transfer=TRANSFER),
        TransferCell(rows["RegDA"], others, transfer=TRANSFER),
        TransferCell(Row("GGF"), {}, "no code is public", transfer=TRANSFER),
    ]


def line(text: str, *beginning: str) -> list[str]:
    """Return the cells of the only line with these first cells."""
    found = [part for part in text.splitlines() if part.startswith("| " + " | ".join(beginning) + " |")]
    assert len(found) == 1, found
    return [cell.strip() for cell in found[0].strip("|").split("|")]


TABLE = TableSpec("table1", "Adaptation", (TRANSFER,), (TRANSFER,), (), 1)


def test_select_scores_uses_the_right_column_for_each_selection(tmp_path):
    columns = read_run(run(tmp_path, 0, "ours", EPOCHS[0]).folder)
    found = select_scores(columns, "dark")
    headline = {selection: networks["teacher"]["pck@0.05"] for selection, networks in found.items()}
    assert headline == pytest.approx({"last": 36, "source-selected": 40, "oracle-selected": 40})
    assert list(found["last"]) == ["student", "teacher"], "the network that a user gets comes last"
    columns = read_run(run(tmp_path, 1, "ours", EPOCHS[1]).folder)
    headline = {
        selection: networks["teacher"]["pck@0.05"] for selection, networks in select_scores(columns, "dark").items()
    }
    assert headline == pytest.approx({"last": 40, "source-selected": 30, "oracle-selected": 50})


def test_delivered_network_is_found_by_its_scores(tmp_path):
    folder = run(tmp_path, 0, "ours", [(0.1, 0.9, 0.2)]).folder
    text = (folder / "metrics.csv").read_text().replace("teacher", "alpha").replace("student", "zeta")
    (folder / "metrics.csv").write_text(text)
    assert list(select_scores(read_run(folder), "dark")["last"])[-1] == "alpha"


def test_table_shows_mean_and_deviation_over_seeds(cells):
    scores, _ = collect(cells)
    text = transfer_table(TABLE, TRANSFER, cells, scores, paper=False).to_markdown()
    spread = statistics.stdev([36, 40])
    last = line(text, "HamiPose", "last")
    assert last[2:5] == ["teacher", "2", f"38.0 ± {spread:.1f}"]
    assert last[6] == f"19.0 ± {spread / 2:.1f}"  # elbow
    assert last[-1] == f"68.0 ± {spread:.1f}"  # at 0.1
    assert line(text, "HamiPose", "source-selected")[4].startswith("35.0 ±")
    assert line(text, "HamiPose", "oracle-selected (no result)")[4].startswith("45.0 ±")


def test_row_may_show_another_network_of_the_same_run(cells):
    row = cells[0].row
    cells.append(TransferCell(Row("its student", row.small, network="student"), cells[0].runs, transfer=TRANSFER))
    cells.append(TransferCell(Row("nothing", row.small, network="target-statistics"), cells[0].runs, transfer=TRANSFER))
    scores, notes = collect(cells)
    text = transfer_table(TABLE, TRANSFER, cells, scores, paper=False).to_markdown()
    assert line(text, "HamiPose", "last")[2:5] == ["teacher", "2", line(text, "HamiPose", "last")[4]]
    spread = statistics.stdev([25, 30])
    assert line(text, "its student", "last")[2:5] == ["student", "2", f"27.5 ± {spread:.1f}"]
    assert any("nothing (seed 0)" in note and "no scores of target-statistics on dark" in note for note in notes)


def test_one_seed_has_no_deviation_and_missing_cells_are_empty(cells):
    scores, notes = collect(cells)
    text = transfer_table(TABLE, TRANSFER, cells, scores, paper=False).to_markdown()
    assert line(text, "RegDA", "last")[3:5] == ["1", "40.0"]
    assert set(line(text, "GGF", "")[1:]) == {""}
    assert any("RegDA (seed 1): failed with status 1: RuntimeError: out of memory" in note for note in notes)
    assert any("GGF: no code is public" in note for note in notes)


def test_paper_results_are_listed_only_at_paper_scale(cells):
    scores, _ = collect(cells)
    small = transfer_table(TABLE, TRANSFER, cells, scores, paper=False).to_markdown()
    paper = transfer_table(TABLE, TRANSFER, cells, scores, paper=True).to_markdown()
    assert "printed" not in small
    assert "83.9" not in small
    assert line(paper, "HamiPose", "printed in the paper")[4] == "83.9"
    assert line(paper, "GGF", "printed in the paper")[4:7] == ["80.2", "69.2", "82.0"]


def test_published_protocol_has_a_separate_table(cells):
    scores, _ = collect(cells)
    values = {"pck@0.05": 12.0, "paper-tll/pck@0.05": 13.0, "paper-tll/pck@0.05/elbow": 14.0}
    other = Result("dots", "dark", "external", "last", "", True, 0, values)
    text = transfer_table(
        TABLE, TRANSFER, cells, [*scores, other], paper=True, protocol="as RegDA averages"
    ).to_markdown()
    assert line(text, "external", "last")[4:7] == ["13.0", "", "14.0"]
    assert set(line(text, "HamiPose", "last")[4:]) == {""}
    assert line(text, "HamiPose", "printed in the paper")[4] == "83.9"


def test_external_predictions_have_a_row(cells):
    scores, _ = collect(cells)
    other = Result("dots", "dark", "external", "as predicted", "", True, None, {"pck@0.05": 12.0, "pck@0.1": 34.0})
    text = transfer_table(TABLE, TRANSFER, cells, [*scores, other], paper=False).to_markdown()
    found = line(text, "external", "as predicted")
    assert (found[4], found[-1]) == ("12.0", "34.0")


@pytest.mark.parametrize("name", ["1", "2", "3", "4", "5", "figure4", "figure5"])
def test_title_states_the_scale(name):
    small, paper = page_title(table_spec(name), "small"), page_title(table_spec(name), "paper")
    assert small.startswith(("Table", "Figure"))
    assert "at a small scale, NOT the paper's" in small
    assert "NOT" not in paper
    assert "at the paper's scale" in paper


def test_table5_is_a_grid(tmp_path):
    transfer = Transfer("hands", "hands", "demo.yaml", "photo", paper_name="rhd_to_h3d")
    label = sensitivity_label(0.0, 0.1, 2.0)
    scores = [Result("hands", "photo", label, "last", "teacher", True, s, {"pck@0.05": 60.0 + s}) for s in (0, 2)]
    text = sensitivity_table(transfer, scores, paper=False).to_markdown()
    assert line(text, "0", "10 %") == ["0", "10 %", "", "", "61.0 ± 1.4", "", ""]
    assert line(text, "0.5", "20 %")[2:] == [""] * 5
    assert line(sensitivity_table(transfer, scores, paper=True).to_markdown(), "0", "10 %, printed")[4] == "70.3"


def test_page_contains_results_provenance_and_commands(cells, tmp_path):
    budget = Budget(20, 40)
    path = write_page(
        TABLE, "small", cells, extra=[], budget=budget, sets={}, command="hamipose experiments …", out=tmp_path / "out"
    )
    text = path.read_text()
    for word in ("no result", "abc1234", "torch ", "hamipose experiments …", "out of memory", "0.20", "ours.yaml"):
        assert word in text, word
    assert (tmp_path / "out/table1_small.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out/table1_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 3  # runs, networks, selections
    one = next(
        r for r in rows if (r["method"], r["seed"], r["selection"], r["shown"]) == ("HamiPose", "1", "last", "1")
    )
    assert (one["network"], one["pck@0.05"]) == ("teacher", "40.000")

"""The table of mesh recovery: its rows, runs and page."""

import contextlib
import csv
import json
from pathlib import Path

import pytest
import yaml

from hamipose.engine.experiments import Budget, ExperimentOptions, pending_runs, pending_table
from hamipose.errors import UserError
from meshtto.cli import main as meshtto
from meshtto.cli.experiments import main
from meshtto.experiments import runs as composing
from meshtto.experiments.page import collect, write_page
from meshtto.experiments.paper_results import PAPER_RESULTS
from meshtto.experiments.rows import PAPER, SMALL, table_rows
from meshtto.experiments.runs import BUDGET, compose

pytestmark = pytest.mark.figures


def here(words, log: Path) -> int:
    """Run a command in this process, which has already imported the packages."""
    with log.open("a") as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return meshtto(list(words)[1:])


def options_for(runs: Path, **changes) -> ExperimentOptions:
    return ExperimentOptions(**{"scale": "small", "seeds": [0, 1], "budget": Budget(10, 4), "runs": runs} | changes)


def small(runs: Path, **changes):
    return compose(options_for(runs, **changes))


def test_paper_results_match_the_printed_table():
    assert PAPER_RESULTS["Dual, HRNet-W48, OpenPose"] == {
        "3dpw": {"mpjpe": 62.9, "pa_mpjpe": 39.7, "pve": 80.1},
        "h36m": {"mpjpe": 43.9, "pa_mpjpe": 30.3},
    }
    assert PAPER_RESULTS["NIKI (CVPR 2023)"]["h36m"] == {}
    assert "pve" not in PAPER_RESULTS["ReFit (ICCV 2023)"]["3dpw"]
    assert len(PAPER_RESULTS) == 11


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_rows_have_unique_names(scale):
    names = [name for row in table_rows(scale) for name in {row.label, row.name}]
    assert len(set(names)) == len(names)


def test_rows_share_trainings_and_their_start(tmp_path: Path):
    cells = small(tmp_path)
    wanted = [run for cell in cells for run in cell.runs.values()]
    runs = pending_runs(wanted)
    assert len(wanted) == 2 * len(SMALL)
    assert len(runs) == 2 * (1 + 5 + len(SMALL))
    starts = [run for run in runs if run.folder.name == "start"]
    assert runs[:2] == starts
    assert all(run.program == "meshtto" for run in runs)
    for cell in cells:
        for seed, test in cell.runs.items():
            assert test.after is not None
            assert test.after.after in starts
            assert test.folder.parent.name == f"seed{seed}"
            assert str(test.after.last) in test.arguments


def test_compose_rejects_unknown_rows(tmp_path: Path):
    assert [cell.row.name for cell in small(tmp_path, only=["dual", "EFT: Regression, head, Adam"])] == [
        "dual",
        "eft_head",
    ]
    with pytest.raises(UserError, match="no row is called duel; expected some of Regression, 2D alone; Meta"):
        small(tmp_path, only=["duel"])
    with pytest.raises(UserError, match="steps is 6; it must be a multiple of its 4 epochs"):
        Budget(10, 6)


def test_paper_scale_states_missing_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data/smpl/smpl_neutral.safetensors.*data/3dpw.*give --data DIR"):
        main(["--scale", "paper"])


def test_paper_scale_paths_are_relative_to_the_data_folder(tmp_path: Path):
    root = tmp_path / "elsewhere"
    for name in ("h36m", "h36m_mosh", "coco", "mpii", "mpi_inf_3dhp", "3dpw", "smpl", "npz", "published"):
        (root / name).mkdir(parents=True)
    files = ("smpl/smpl_neutral.safetensors", "npz/coco2014part_cliffGT.npz", "npz/mpii_cliffGT.npz")
    published = ("published/pose_resnet.pth", "published/res50-PA45.7_MJE72.0_MVE85.3_3dpw.pt")
    for name in (*files, *published):
        (root / name).touch()
    cells = compose(options_for(tmp_path / "runs", scale="paper", seeds=[0], data=root))
    assert [cell.row for cell in cells] == list(PAPER)
    for cell in cells:
        assert cell.runs, cell.missing
        test = cell.runs[0]
        for run in (test, test.after):
            assert run is not None
            assert '"data/' not in run.command
            assert str(root / "smpl/smpl_neutral.safetensors") in run.arguments
        test_sets = json.loads(test.arguments[test.arguments.index("--data.test") + 1])
        assert set(test_sets) == {"3dpw", "h36m"}
        assert test_sets["h36m"]["init_args"] == {
            "root": str(root / "h36m"),
            "split": "p2",
            "mosh": str(root / "h36m_mosh"),
            "evidence": "truth",
        }
        assert run.arguments[0] == "fit"
        chosen_by = json.loads(run.arguments[run.arguments.index("--data.validation") + 1])
        assert chosen_by["init_args"]["split"] == "validation"
        seen = json.loads(run.arguments[run.arguments.index("--data.test") + 1])
        assert seen == test_sets  # in training too, below the data
    trainings = [cell.runs[0].after for cell in cells]
    assert not any("--data.steps_per_epoch" in run.arguments for run in trainings if run)  # the config's: a whole pass
    assert pending_table(trainings[:1], 1)[1] == "1 of 1 runs are missing: time unknown, with 1 at a time"
    epochs = {cell.row.training.name: cell.runs[0].after.epochs for cell in cells if cell.runs[0].after}
    assert epochs["cliff_resnet50"] == epochs["cliff_resnet50_regression"] == 65
    assert epochs["cliff_hrnet48"] == 25


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the data of the small table by eight images."""

    def people(count: int, seed: int) -> dict:
        arguments = {"count": count, "seed": seed, "size": 64, "root": str(tmp_path / "cache"), "workers": 1}
        return {"class_path": "meshtto.data.BuiltinMeshes", "init_args": arguments}

    regressor = {"backbone": "test_resnet", "width": 16}
    data = {"train": [people(4, 0)], "validation": people(2, 2), "test": {"builtin": people(8, 1)}, "batch_size": 2}
    content = {
        "model": {"init_args": {"regressor": regressor}},
        "data": {**data, "predict": None},
        "trainer": {"check_val_every_n_epoch": 4},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(composing, "_SMALL_DATA", str(tmp_path / "tiny.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_table_is_run_written_and_not_rerun(tiny: Path, capsys: pytest.CaptureFixture):
    words = ["--seeds", "0", "--start-steps", "10", "--steps", "4", "--runs", "runs", "--out", "out", "--only"]
    words += ["dual", "regression_truth", "eft_all"]
    main([*words, "--dry-run"])
    assert "6 of 6 runs are missing: time unknown" in capsys.readouterr().out
    main([*words, "--dry-run", "--time-steps", "2"], here)
    printed = capsys.readouterr().out
    assert printed.count("timing 2 steps of") == 3  # start, dual and regression
    assert "6 of 6 runs are missing: about 1 min and 3 runs whose time is unknown" in printed
    assert not list(tiny.glob("runs/**/checkpoints"))
    main(words, here)
    assert "failed" not in capsys.readouterr().out
    text = (tiny / "out/meshtto_table1_small.md").read_text()
    assert text.startswith("# Human mesh recovery at a small scale, NOT the paper's data")
    assert "printed in the paper" not in text
    with (tiny / "out/meshtto_table1_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = ["Dual, 2D and pseudo-mesh", "EFT: Regression, all weights, Adam", "Regression, true 2D"]
    assert list(dict.fromkeys(row["training and adaptation"] for row in rows)) == labels
    assert [int(row["step"]) for row in rows] == 3 * list(range(15))
    assert all(float(row["mpjpe"]) > 0 for row in rows)
    for line in text.splitlines():
        people = {"| Dual, ": "8 recovered", "| EFT: ": "1 recovered"}.get(line[:7])
        assert people is None or people in line
    assert (tiny / "out/meshtto_table1_small_builtin_curves.png").stat().st_size > 10_000
    logs = {path: path.stat().st_mtime_ns for path in tiny.rglob("log.txt")}
    assert len(logs) == 6

    main(words, here)
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("log.txt")} == logs


def test_page_states_evidence_of_each_row(tmp_path: Path):
    cells = small(tmp_path / "runs", seeds=[0], only=["dual", "meta", "regression_truth"])
    for cell in cells:
        (test,) = cell.runs.values()
        test.folder.mkdir(parents=True)
        curves = {error: [90.0, 80.0] for error in ("mpjpe", "pa_mpjpe", "pve", "error_2d")}
        sets = {"test/builtin": {"against_steps": curves, "per_joint": {"head": [1.0, 2.0]}}}
        protocol = {"joints": "fourteen", "evidence": f"test/builtin: {cell.row.evidence}"}
        content = {"epoch": 0, "protocol": protocol, "sets": sets}
        (test.folder / "scores-test.json").write_text(json.dumps(content))
    path = write_page("small", cells, budget=BUDGET, sets={"training": "some"}, command="test", out=tmp_path / "out")
    said = path.read_text().partition("## Protocol")[2].splitlines()
    assert "- joints: fourteen" in said
    assert "- evidence: test/builtin: detector (Meta, 2D alone; Dual, 2D and pseudo-mesh)" in said
    assert "- evidence: test/builtin: truth (Regression, true 2D)" in said


def test_page_states_missing_and_diverged_runs(tmp_path: Path):
    cells = small(tmp_path / "runs", only=["dual", "meta"])
    for seed, last in ((0, 80.0), (1, float("nan"))):
        test = next(cell.runs[seed] for cell in cells if cell.row.name == "dual")
        test.folder.mkdir(parents=True)
        curves = {error: [90.0 + seed, last] for error in ("mpjpe", "pa_mpjpe", "pve", "error_2d")}
        found = {"against_steps": curves, "per_joint": {"head": [1.0, 2.0]}, "people": {"recovered": 8, "diverged": 1}}
        content = {"epoch": 0, "protocol": {"joints": "fourteen"}, "sets": {"test/builtin": found, "val": found}}
        (test.folder / "scores-test.json").write_text(json.dumps(content))
    results, notes = collect(cells)
    assert [(r.row.name, r.seed, r.test_set) for r in results] == [("dual", 0, "builtin"), ("dual", 1, "builtin")]
    assert any(note.startswith("Empty: Meta, 2D alone (seed 0), Meta, 2D alone (seed 1): the run it") for note in notes)
    path = write_page("small", cells, budget=BUDGET, sets={"training": "some"}, command="test", out=tmp_path / "out")
    text = path.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| Dual, 2D and"))
    assert row.split(" | ")[1:6] == ["2", "8 recovered, 1 diverged", "1", "90.5 ± 0.7", "diverged"]
    assert row.endswith("| 90.5 (0) |")

"""Run the verb `experiments` from end to end on images of dots."""

import contextlib
import csv
from pathlib import Path

import pytest
import yaml

from hamipose.cli import main as hamipose
from hamipose.cli.experiments import main
from hamipose.engine.experiments import Recipe
from hamipose.errors import UserError
from hamipose.experiments import rows as specs
from hamipose.experiments.rows import Row, TableSpec
from hamipose.experiments.transfers import Transfer


@pytest.fixture
def tiny(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace Table 1 by a table on dots: one row that works and one that fails."""

    def people(look: str, **options: object) -> dict:
        arguments = {"root": str(dots / look), "box": "image", **options}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": arguments}

    target = [{"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": people("dark")}}]
    sets = {"source": people("light"), "target": target, "validation": people("light", count=6)}
    config = tmp_path / "dots.yaml"
    config.write_text(yaml.safe_dump({"data": sets | {"test": {"dark": people("dark", count=7)}}}))
    options = {
        "model.init_args.network.backbone": "test_resnet",
        "model.init_args.network.deconv_channels": "[8,8,8]",
        "data.image_size": "32",
        "data.batch_size": "4",
    }
    transfer = Transfer("dots", "dots → darker dots", str(config), "dark", options=options)
    rows = (
        Row(
            "impossible",
            Recipe("impossible", "demo_mean_teacher.yaml", {"model.init_args.adaptation.ema_decay": "much"}),
        ),
        Row("Mean teacher", Recipe("mean_teacher", "demo_mean_teacher.yaml")),
    )
    monkeypatch.setitem(specs._SPECS, "1", TableSpec("table1", "Dots", (transfer,), (), rows, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(words, log: Path) -> int:
    """Run a command in this process, which has already imported the packages."""
    with log.open("a") as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return hamipose(list(words)[1:])


WORDS = ["--table", "1", "--seeds", "0", "--start-steps", "10", "--steps", "4", "--runs", "runs", "--out", "out"]


@pytest.mark.slow
def test_experiments_run_write_and_reuse_runs(tiny, capsys):
    main([*WORDS, "--dry-run"])
    assert "3 of 3 runs are missing: time unknown" in capsys.readouterr().out
    commands = (tiny / "runs/small/commands.sh").read_text().splitlines()
    assert len(commands) == 3
    assert all(command.startswith("python -m hamipose fit --config") for command in commands)
    assert not (tiny / "out").exists()
    assert not list(tiny.glob("runs/small/dots/seed0/*/log.txt"))

    main(WORDS, here)
    said = capsys.readouterr().out
    assert "impossible: failed with status 2: error: " in said
    text = (tiny / "out/table1_small.md").read_text()
    assert text.startswith("# Table 1 at a small scale, NOT the paper's data")
    assert "| impossible |  |  |" in text
    assert "ema_decay" in text.split("## Notes")[1]
    with (tiny / "out/table1_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(r["method"], r["network"]) for r in rows} == {("Mean teacher", "student"), ("Mean teacher", "teacher")}
    assert all(0 <= float(r["pck@0.05"]) <= 100 for r in rows)
    assert "| dots | test.dark | CocoKeypoints | 7 |" in text
    finished = {p: p.stat().st_mtime_ns for p in tiny.glob("runs/small/dots/seed0/*/scores.json")}
    assert len(finished) == 2

    main([*WORDS, "--only", "Mean teacher"], here)  # no run is repeated
    assert "started" not in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in finished} == finished

    with pytest.raises(UserError, match="contains a run with different options"):
        main([*WORDS, "--data.batch_size", "2"])


def test_experiments_at_paper_scale_need_data(tiny):
    with pytest.raises(UserError, match="no row can be run at the paper's scale"):
        main([*WORDS, "--scale", "paper"])

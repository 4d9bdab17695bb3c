import csv
import json
import re
from pathlib import Path

import pytest

from hamipose.engine.metrics_file import read_metrics
from hamipose.errors import UserError
from hamipose.evaluation.run_report import plot_keypoint_maps, write_run_report
from hamipose.skeletons import BODY16

pytestmark = pytest.mark.figures


def write_run(folder: Path, adapting: bool) -> Path:
    """Write the files of a run with three logged steps."""
    folder.mkdir(parents=True)
    rows = []
    for step in (20, 40, 60):
        row: dict[str, object] = {"step": step, "train/source_loss": 1 / step, "train/lr": 1e-3}
        if adapting:
            row |= {"train/target_loss": 2 / step, "train/conflict": 0.3, "train/weight": 0.9, "train/openness": 0.2}
            row |= {"train/hamiltonian": 3 / step, "train/kinetic": 1 / step, "train/potential": 2 / step}
            for name in BODY16.keypoints:
                row |= {f"train/conflict/{name}": 0.25, f"train/weight/{name}": 1.0, f"train/openness/{name}": 0.5}
        rows.append(row)
    rows.append({"step": 60, "val/pck": 0.5, "test/photo/pck": 0.4, "test/photo/student/pck@0.05/wrist": 0.2})
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    scores = {"test/photo/student/pck@0.05": 0.412, "test/photo/student/pck@0.05/wrist": 0.2}
    (folder / "scores.json").write_text(json.dumps({"scores": scores}))
    (folder / "config.yaml").write_text("model: {class_path: hamipose.methods.HamiPose}\nnote: a < b\n")
    return folder


def test_report_is_one_file_without_external_links(tmp_path: Path):
    page = write_run_report(write_run(tmp_path / "run", adapting=True)).read_text()
    assert "HamiPose: run" in page
    assert "41.2" in page
    assert "H = T + V" in page
    assert page.count("<img") == 5
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "a &lt; b" in page


def test_report_of_source_only_has_no_gate_and_no_energy(tmp_path: Path):
    page = write_run_report(write_run(tmp_path / "run", adapting=False)).read_text()
    assert "Source against target" not in page
    assert "Energy" not in page
    assert page.count("<img") == 2


def test_keypoint_maps_need_per_keypoint_columns(tmp_path: Path):
    columns = dict(read_metrics(write_run(tmp_path / "run", adapting=True) / "metrics.csv"))
    assert plot_keypoint_maps(columns)
    assert plot_keypoint_maps({name: c for name, c in columns.items() if name.count("/") < 2}) is None


def test_report_rejects_folders_without_metrics(tmp_path: Path):
    with pytest.raises(UserError, match=r"metrics\.csv"):
        write_run_report(tmp_path)
    for content in ("", "epoch,step,val/pck\n"):
        (tmp_path / "metrics.csv").write_text(content)
        with pytest.raises(UserError, match=r"metrics\.csv is empty"):
            write_run_report(tmp_path)

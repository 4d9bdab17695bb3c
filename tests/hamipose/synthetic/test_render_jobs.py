"""Parallel rendering with a fake record function: indices, sidecars, damaged files and errors in workers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hamipose.errors import UserError
from hamipose.synthetic.render_jobs import read_sidecars, remove_sidecars, render_missing

SETTINGS = {"seed": 1}


def make_fake_record(folder: Path, index: int, style: str) -> dict:
    return {"index": index, "style": style, "folder": folder.name}


def fail(folder: Path, index: int, style: str) -> dict:
    raise UserError(f"unknown style {style}")


def render(folder: Path, missing: list[int], workers: int, make_record=make_fake_record) -> None:
    render_missing(
        folder,
        make_record,
        missing,
        SETTINGS,
        {"style": "plain"},
        workers,
        build_caches=lambda: None,
        progress=False,
    )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("missing", [range(3), range(7, 300)], ids=["few", "blocks"])
def test_each_image_is_rendered_once(tmp_path: Path, missing: range, workers: int):
    render(tmp_path / "b", list(missing), workers)
    records = read_sidecars(tmp_path / "b", SETTINGS)
    assert {i: r["index"] for i, r in records.items()} == {i: i for i in missing}
    assert {(r["style"], r["folder"]) for r in records.values()} == {("plain", "b")}
    remove_sidecars(tmp_path / "b")
    assert read_sidecars(tmp_path / "b", SETTINGS) == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_worker_is_raised_and_sidecars_are_kept(tmp_path: Path, workers: int):
    render(tmp_path, [0, 1], workers)
    with pytest.raises(UserError, match="unknown style plain"):
        render(tmp_path, [2, 3], workers, fail)
    assert set(read_sidecars(tmp_path, SETTINGS)) == {0, 1}


def test_damaged_sidecar_and_other_settings_are_named(tmp_path: Path):
    render(tmp_path, [0], 1)
    with pytest.raises(UserError, match=r"rendered with \{'seed': 1\}, but \{'seed': 2\} was requested"):
        read_sidecars(tmp_path, {"seed": 2})
    (tmp_path / "images" / "000001.json").write_text(json.dumps(SETTINGS)[:-2])
    with pytest.raises(UserError, match=r"000001\.json is damaged .*delete it"):
        read_sidecars(tmp_path, SETTINGS)


def test_script_needs_no_main_guard(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom hamipose.synthetic.render_jobs import render_missing\n"
        "def make_record(folder, index): return {'index': index}\n"
        "render_missing(Path(sys.argv[1]), make_record, list(range(40)), {'seed': 1}, {}, 2,\n"
        "               build_caches=lambda: None, progress=False)\nprint('rendered')\n"
    )
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "rendered"
    assert len(read_sidecars(tmp_path, SETTINGS)) == 40

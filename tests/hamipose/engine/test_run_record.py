from pathlib import Path

import pytest

from hamipose.engine.run_record import (
    check_same_request,
    has_checkpoints,
    recorded_revision,
    resume_arguments,
    write_request,
)
from hamipose.errors import UserError


def test_check_same_request_names_the_different_options(tmp_path: Path):
    with pytest.raises(UserError, match="no record of the options of its runs; give another --out"):
        check_same_request(tmp_path, ["fit"], "--out")
    write_request(tmp_path, ["fit", "--steps", "5"])
    check_same_request(tmp_path, ["fit", "--steps", "5"])
    with pytest.raises(UserError, match=r"\(found 5, requested 6\); give another --runs or delete the folder"):
        check_same_request(tmp_path, ["fit", "--steps", "6"])
    with pytest.raises(UserError, match="found --steps 5, requested fewer options"):
        check_same_request(tmp_path, ["fit"])
    assert recorded_revision(tmp_path)
    assert recorded_revision(tmp_path / "other") == ""


def test_resume_arguments_add_the_checkpoint_and_keep_metrics(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("first")
    assert resume_arguments(folder, ["--steps", "5"]) == ["--steps", "5"]
    assert not has_checkpoints(tmp_path)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    assert has_checkpoints(tmp_path)
    for part in range(2):
        (folder / "metrics.csv").write_text(f"part {part}")
        arguments = resume_arguments(folder, ["--steps", "5"])
        assert arguments == ["--steps", "5", "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")]
        assert (folder / f"metrics-{part:03d}.csv").read_text() == f"part {part}"
        assert not (folder / "metrics.csv").exists()

"""Arguments are checked before slow work starts."""

from pathlib import Path

import pytest

from hamipose.cli import main
from hamipose.config.environment import configs_folder
from meshtto.cli import main as mesh_main


def error_line(capsys: pytest.CaptureFixture) -> str:
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_fit_checks_data_before_fetching_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hamipose.models.network.create_pretrained", lambda *given, **more: pytest.fail("too early"))
    assert main(["fit", "--config", str(configs_folder() / "surreal_to_lsp.yaml")]) == 2
    assert "data/surreal" in error_line(capsys)


@pytest.mark.parametrize("data", ["LeedsSports", "SyntheticPeople"])
def test_evaluate_reads_predictions_before_preparing_data(tmp_path: Path, capsys: pytest.CaptureFixture, data: str):
    root = tmp_path / "people"
    given = ["--predictions", str(tmp_path / "nowhere.json"), "--data", data, "--root", str(root)]
    assert main(["evaluate", *given]) == 2
    assert "nowhere.json" in error_line(capsys)
    assert not root.exists()


def test_mesh_evaluate_reads_predictions_before_preparing_data(tmp_path: Path, capsys: pytest.CaptureFixture):
    root, predictions = tmp_path / "people", tmp_path / "theirs.npz"
    given = ["--predictions", str(predictions), "--data", "BuiltinMeshes", "--root", str(root), "--count", "2"]
    assert mesh_main(["evaluate", *given]) == 2
    assert "theirs.npz does not exist" in error_line(capsys)
    predictions.write_text("<!DOCTYPE html>")
    assert mesh_main(["evaluate", *given]) == 2
    assert "theirs.npz is a web page" in error_line(capsys)
    assert not root.exists()


def test_demo_parses_overrides_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """An unknown option raises an error before anything is written."""
    monkeypatch.setattr("hamipose.demo.train_in", lambda *given: pytest.fail("too early"))
    assert main(["demo", "--out", str(tmp_path), "--data.student_views", "nonsense", "--data.batch_sice", "3"]) == 2
    assert "batch_sice" in error_line(capsys)
    assert list(tmp_path.iterdir()) == []

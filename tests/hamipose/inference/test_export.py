import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.inference.export import export_onnx, max_relative_difference
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from tests.helpers.onnx_files import reuse_export


@pytest.fixture(scope="module")
def exported(model: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the model once: torch needs seconds for it."""
    pytest.importorskip("onnx", reason="extra `export` is not installed")
    path = tmp_path_factory.mktemp("exported") / "pose.onnx"
    assert export_onnx(model, path) < 1e-4
    return path


def test_onnx_file_equals_the_model_for_any_batch(model: Predictor, exported: Path):
    import onnx

    assert max_relative_difference(model, exported, batch=7) < 1e-4
    about = {p.key: p.value for p in onnx.load(str(exported)).metadata_props}
    assert about["keypoints"].split(",") == list(model.skeleton.keypoints)
    assert about["image_size"] == "64"
    assert about["targets"] == "sub-pixel"
    assert float(about["offset_px"]) == 1.5


def test_onnx_file_states_the_encoding_and_the_statistics(
    model: Predictor, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import onnx

    reuse_export(monkeypatch, exported)
    info = replace(model.info, quantized=True, statistics="source and target")
    export_onnx(Predictor(model.network, info, "cpu"), tmp_path / "pose.onnx")
    about = {p.key: p.value for p in onnx.load(str(tmp_path / "pose.onnx")).metadata_props}
    assert about["targets"] == "quantized"
    assert float(about["offset_px"]) == 0.0
    assert about["statistics"] == "source and target"


def test_file_that_differs_from_the_model_is_not_written(
    model: Predictor, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A negative tolerance rejects every file."""
    path = Path(shutil.copy(exported, tmp_path / "pose.onnx"))
    before = path.read_bytes()
    reuse_export(monkeypatch, exported)
    assert export_onnx(model, tmp_path / "copy.onnx") < 1e-4
    with pytest.raises(UserError, match="no file was written"):
        export_onnx(model, path, tolerance=-1.0)
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="no file was written"):
        export_onnx(model, tmp_path / "other.onnx", tolerance=-1.0)
    assert not (tmp_path / "other.onnx").exists()


def test_unsupported_opset_is_rejected(model: Predictor, tmp_path: Path, capfd: pytest.CaptureFixture):
    """The exporter of torch then writes another opset, with long logs."""
    pytest.importorskip("onnxruntime", reason="extra `export` is not installed")
    with pytest.raises(UserError, match=r"opset is 3, .*use opset 18"):
        export_onnx(model, tmp_path / "pose.onnx", opset=3)
    assert not (tmp_path / "pose.onnx").exists()
    assert capfd.readouterr() == ("", "")


def test_missing_package_is_reported(model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"hamipose\[export\]"):
        export_onnx(model, tmp_path / "pose.onnx")


def test_export_verb_writes_folders(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["export", "--checkpoint", str(model_folder), "--out", str(tmp_path / "copy")]) == 0
    assert load(tmp_path / "copy").info == load(model_folder).info
    assert main(["export", "--checkpoint", str(model_folder), "--out", str(tmp_path / "pose.pb")]) == 2
    assert ".onnx" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["pose.onnx", "folder"])
@pytest.mark.parametrize(
    ("size", "message"), [("0", "--image-size: 0 is too small"), ("50", "50 × 50 px: expected multiples")]
)
def test_unsupported_sizes_are_rejected(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, out: str, size: str, message: str
):
    assert main(["export", "--checkpoint", str(model_folder), "--out", str(tmp_path / out), "--image-size", size]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert not (tmp_path / out).exists()

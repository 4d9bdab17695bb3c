"""The page through gradio's client; skipped if the extra `app` is not installed."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hamipose.app.page import build_page
from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.viz.serving import import_gradio, serve


@pytest.fixture(scope="module")
def find(address: str) -> Any:
    """Upload a file and return the page's response."""
    client = pytest.importorskip("gradio_client")
    page = client.Client(address, verbose=False)
    return lambda path: page.predict(client.handle_file(str(path)), 0.1, api_name="/find")


def test_page_shows_a_photo_for_both_models(find: Any, image_folder: Path):
    message, *parts, comparison = find(image_folder / "p0.png")
    assert "of 16 keypoints" in message
    for picture, clip, table in (parts[:3], parts[3:]):
        assert Path(picture["value"]).stat().st_size > 0
        assert clip["visible"] is False
        assert len(table["data"]) == 16
        assert table["headers"] == ["keypoint", "x [px]", "y [px]", "confidence"]
    assert all(row[3] == 0 for row in comparison["data"])  # the same model twice
    assert len(comparison["data"]) == 16


def test_page_shows_clips(find: Any, clip: Path):
    message, picture, video, *_ = find(clip)
    assert message.startswith("7 frames.")
    assert picture["visible"] is False
    assert str(video["value"]).endswith(".webm") or "webm" in str(video["value"])


def test_page_reports_unusable_files(find: Any, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    message, *parts, comparison = find(path)
    assert "notes.txt is neither an image nor a video" in message
    assert "gradio" not in message  # gradio's folder of the file
    assert parts[0]["value"] is None
    assert comparison["data"] in ([], [["", "", "", ""]])


def test_occupied_port_is_reported(model: Any, address: str, tmp_path: Path):
    port = int(address.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port} cannot be used"):
        serve(build_page({"one": model}, tmp_path), port, wait=False)


def test_app_verb_reports_missing_gradio(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'hamipose\[app\]'"):
        import_gradio()
    assert main(["app", "--checkpoint", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_invalid_options_are_rejected(capsys: Any):
    assert main(["app", "--checkpoint", "x", "--limit", "0"]) == 2
    assert "--limit: 0 is too small" in capsys.readouterr().err


def test_mesh_checkpoint_is_rejected_with_advice(tmp_path: Path, capsys: Any):
    path = tmp_path / "mesh.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"method": "Dual", "regressor": {"kind": "cliff"}}}, path)
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    assert main(["app", "--checkpoint", str(path)]) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "was saved by meshtto and recovers meshes; use python -m meshtto app" in output

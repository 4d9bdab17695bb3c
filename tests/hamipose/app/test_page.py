"""The page as a program sees it (gradio's client); skipped where the extra `app` is not installed."""

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
    """Uploads a file and gives back what the page shows."""
    client = pytest.importorskip("gradio_client")
    page = client.Client(address, verbose=False)
    return lambda path: page.predict(client.handle_file(str(path)), 0.1, api_name="/find")


def test_a_photo_is_answered_for_both_models(find: Any, pictures: Path):
    message, *parts, comparison = find(pictures / "p0.png")
    assert "of 16 keypoints" in message
    for picture, clip, table in (parts[:3], parts[3:]):
        assert Path(picture["value"]).stat().st_size > 0
        assert clip["visible"] is False
        assert len(table["data"]) == 16
        assert table["headers"] == ["keypoint", "x [px]", "y [px]", "confidence"]
    assert all(row[3] == 0 for row in comparison["data"])  # twice the same model
    assert len(comparison["data"]) == 16


def test_a_clip_is_answered_with_clips(find: Any, clip: Path):
    message, picture, video, *_ = find(clip)
    assert message.startswith("7 frames.")
    assert picture["visible"] is False
    assert str(video["value"]).endswith(".webm") or "webm" in str(video["value"])


def test_what_is_no_picture_is_told_on_the_page(find: Any, tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("no picture")
    message, *parts, comparison = find(path)
    assert "notes.txt is neither an image nor a video" in message
    assert "gradio" not in message  # whose folder the file was in
    assert parts[0]["value"] is None
    assert comparison["data"] in ([], [["", "", "", ""]])


def test_a_taken_port_is_told(model: Any, address: str, tmp_path: Path):
    port = int(address.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port} cannot be used"):
        serve(build_page({"one": model}, tmp_path), port, wait=False)


def test_without_gradio_the_verb_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'hamipose\[demo\]'"):
        import_gradio()
    assert main(["app", "--checkpoint", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_bad_options_are_told(capsys: Any):
    assert main(["app", "--checkpoint", "x", "--limit", "0"]) == 2
    assert "--limit 0" in capsys.readouterr().err


def test_a_mesh_checkpoint_is_sent_to_its_own_page(tmp_path: Path, capsys: Any):
    path = tmp_path / "mesh.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"method": "Dual", "regressor": {"kind": "cliff"}}}, path)
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    assert main(["app", "--checkpoint", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "recovers meshes, it was saved by meshtto; use python -m meshtto app" in said

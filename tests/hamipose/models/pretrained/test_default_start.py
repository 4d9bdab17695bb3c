"""The default model: a downloaded one, else the included one, else an error of one line."""

import logging
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import hamipose
from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.models.model_io import ModelInfo, read_model_folder, save_model_folder
from hamipose.models.pretrained.catalog import PEOPLE, default_start
from hamipose.models.pretrained.fetch import blazepose_info
from hamipose.models.pretrained.mediapipe import read_landmark_network
from tests.helpers.tflite_files import write_landmark_model

ROOT = Path(__file__).parents[4]
INFO = ModelInfo("body16", "test_resnet", (8, 8, 8), 32, "SourceOnly")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PEOPLE.__dict__, "folder", tmp_path / "people")
    return tmp_path / "cache/models"


@pytest.fixture
def people(cache: Path, tmp_path: Path) -> Path:
    """Install a start in half precision with a model card, like the included one."""
    folder = save_model_folder(tmp_path / "people", INFO.network(), INFO, half=True)
    (folder / "MODEL_CARD.md").write_text("# The included start for people\n")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 40, 3), 90, np.uint8))
    return tmp_path / "a.png"


def test_missing_default_model_is_reported_in_one_line(cache: Path, photo: Path, capsys: pytest.CaptureFixture):
    assert default_start() is None
    for words in (["predict", str(photo)], ["app"]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert "no model is given and none is installed" in error
        assert "models fetch blazepose" in error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match="does not include the model people"):
        hamipose.load("people")
    assert main(["models", "list"]) == 0
    assert "not part of this installation" in capsys.readouterr().out


def test_included_model_is_the_default(
    people: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "hamipose"):
        model = hamipose.load(device="cpu")
    assert "using people" in caplog.text
    assert model.info == INFO
    assert main(["predict", str(photo), "--out", str(tmp_path / "out"), "--no-overlays", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(
        "model: people (Apache-2.0), the best installed one; --checkpoint selects"
    )
    assert hamipose.load("people", device="cpu").info == INFO
    with pytest.raises(UserError, match=r"skeleton is 'coco17', but people has the keypoints of body16"):
        hamipose.load("people", skeleton="coco17")


def test_most_accurate_downloaded_network_precedes_the_included_one(people: Path, cache: Path, tmp_path: Path):
    assert default_start() == "people"
    (tmp_path / "pose_landmark_lite.tflite").write_bytes(write_landmark_model())
    network = read_landmark_network(tmp_path / "pose_landmark_lite.tflite")
    for name in ("blazepose-lite", "blazepose-heavy"):
        save_model_folder(cache / name, network, blazepose_info(name))
        assert default_start() == name
    assert default_start(include_fetched=False) == "people"
    assert hamipose.load(device="cpu").info.backbone == "blazepose-heavy"


def test_models_verb_shows_license_and_size(people: Path, capsys: pytest.CaptureFixture):
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert "people: body16, trained on built-in people" in listed
    assert "Apache-2.0, part of hamipose, 0." in listed
    assert "default model: people" in listed
    assert main(["models", "show", "people"]) == 0
    shown = capsys.readouterr().out
    assert str(people) in shown
    assert "# The included start for people" in shown
    assert main(["models", "fetch", "people"]) == 2
    assert "people is part of hamipose" in capsys.readouterr().err


def test_half_precision_folder_is_half_the_size_and_read_in_single(people: Path, tmp_path: Path):
    network, _ = read_model_folder(people)
    single = save_model_folder(tmp_path / "single", network, INFO)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (people, single)]
    assert sizes[0] < 0.6 * sizes[1]
    written = load_file(people / "model.safetensors")
    assert {t.dtype for t in written.values() if t.is_floating_point()} == {torch.float16}
    state = network.state_dict()
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}
    for name, tensor in written.items():
        torch.testing.assert_close(state[name], tensor.to(state[name].dtype), rtol=0, atol=0)
    with torch.no_grad():
        network.final.bias[0] = 1e6  # type: ignore[union-attr, index]
    with pytest.raises(UserError, match=r"final\.bias has values too large for half precision"):
        save_model_folder(tmp_path / "large", network, INFO, half=True)
    assert not (tmp_path / "large/model.safetensors").exists()


def test_export_writes_half_precision(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "again"
    assert main(["export", "--checkpoint", str(people), "--out", str(out), "--half"]) == 0
    assert (out / "model.safetensors").stat().st_size == (people / "model.safetensors").stat().st_size
    assert main(["export", "--checkpoint", str(people), "--out", "a.onnx", "--half"]) == 2
    assert "only model folders" in capsys.readouterr().err


def test_git_ignores_no_file_of_the_included_model():
    """The wheel contains every file of the package that git does not ignore (Hatchling)."""
    names = [
        f"hamipose/models/pretrained/people/{name}" for name in ("config.yaml", "model.safetensors", "MODEL_CARD.md")
    ]
    try:
        done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode == 128:
        pytest.skip("not a clone")
    assert (done.returncode, done.stdout) == (1, "")

"""Adaptation that starts from a pretrained network, with its image size and on the crops that it expects."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hamipose.adapt.hardware import Machine, pretrained_settings
from hamipose.adapt.spec import AdaptationSpec
from hamipose.adapt.start import open_start_model, write_aligned_boxes
from hamipose.cli import main
from hamipose.data.datasets.footage.person_crops import ImagePersonCrops
from hamipose.geometry.affine import crop_matrix
from hamipose.inference import predictor
from hamipose.inference.footage import open_footage
from hamipose.inference.loading import load
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.models.model_io import save_model_folder
from hamipose.models.pretrained.fetch import blazepose_info
from hamipose.models.pretrained.mediapipe import BlazePose, read_landmark_network
from tests.helpers.tflite_files import write_landmark_model

PAGE = (Path(__file__).parents[3] / "docs/pretrained.md").read_text()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a small network as blazepose-lite."""
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pose_landmark_lite.tflite"
    file.write_bytes(write_landmark_model())
    folder = tmp_path / "cache/models/blazepose-lite"
    save_model_folder(folder, read_landmark_network(file), blazepose_info("blazepose-lite"))
    return folder


def make_spec(dots: Path, out: Path, **options: object) -> AdaptationSpec:
    settings = pretrained_settings(Machine(None, 0.0, 2, 8.0), blazepose_info("blazepose-lite"))
    return AdaptationSpec(dots / "dark/images", out, settings, start=Path("blazepose-lite"), **options)


def test_aligned_boxes_match_the_crops_of_predict(
    cache: Path, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = open_start_model("blazepose-lite")
    points = torch.tensor([[120.0, 140.0], [150.0, 80.0]])  # rotated to the right, in every crop
    monkeypatch.setattr(model.network, "alignment", lambda images: points.expand(len(images), 2, 2))
    monkeypatch.setattr(predictor, "_RETRY_BELOW", 0.0)  # the network is not trained
    spec = make_spec(dots, tmp_path / "out")
    aligned = write_aligned_boxes(spec, model)
    assert aligned.boxes == str(tmp_path / "out/people.json")
    people = ImagePersonCrops(str(dots / "dark/images"), aligned.boxes)
    samples = list(open_footage(str(dots / "dark/images")).samples)
    assert len(people) == len(samples)
    for sample, index in zip(samples[:3], range(3), strict=True):
        expected = np.stack([model._crop_matrix(sample.box_px, sample.rotation_deg)])
        for _ in range(model.passes - 1):
            expected = model._refine([sample], expected)
        found = people[index]
        # The file states hundredths of a pixel and of a degree.
        np.testing.assert_allclose(crop_matrix(found.box_px, 256, found.rotation_deg), expected[0], rtol=2e-3, atol=0.3)
    assert people[0].rotation_deg == pytest.approx(2 * np.rad2deg(np.arctan2(30, 60)), abs=0.01)  # two passes on
    before = (tmp_path / "out/people.json").stat().st_mtime_ns
    write_aligned_boxes(spec, model)  # reuses the file
    assert (tmp_path / "out/people.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_command_of_the_docs_adapts_without_training_a_start(
    cache: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (line,) = re.findall(r"python -m hamipose (adapt photos/ .*--start blazepose-lite.*)", PAGE)
    replaced = {"photos/": str(dots / "dark/images"), "runs/photos": str(tmp_path / "out")}
    words = [replaced.get(word, word) for word in shlex.split(line)]
    where = words.index("--detector")
    del words[where : where + 2]  # the images show dots, not people
    source = f"{dots / 'light/images'}:{dots / 'light/annotations.json'}"
    words += ["--source", source, "--adapt-steps", "2", "--batch-size", "2"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Training on the source" not in said
    assert "blazepose-lite at 256 px" in said
    assert not (tmp_path / "out/start/scores.json").exists()
    adapted = load(tmp_path / "out", device="cpu")
    assert isinstance(adapted.network, BlazePose)
    assert (adapted.passes, adapted.info.skeleton, adapted.info.method) == (3, "body16", "HamiPose")
    config = yaml.safe_load((tmp_path / "out/adapted/run.yaml").read_text())
    assert config["model"]["init_args"]["adaptation"]["labels"] == "keypoint"
    assert config["data"]["image_size"] == 256
    people = json.loads((tmp_path / "out/after.json").read_text())["annotations"]
    assert len(people) == 16
    assert main(words) == 0  # already finished
    assert config["model"]["init_args"]["network"]["trained"] == "head"
    assert main([*words, "--trained", "all"]) == 2
    assert "--trained head" in capsys.readouterr().err


def test_options_of_other_starts_raise_an_error(cache: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    footage = ["adapt", str(dots / "dark/images"), "--out", str(tmp_path / "out")]
    for options, says in (
        (["--start", "blazepose-full"], "blazepose-full is not in"),
        (["--start", "blazepose-lite", "--image-size", "128"], "--start and --image-size"),
        (["--trained", "head"], "--trained needs a pretrained network in --start"),
    ):
        assert main([*footage, *options]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_config_of_the_docs_has_existing_options():
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "init_from" in text]
    options = yaml.safe_load(block)["model"]["init_args"]
    assert NetworkOptions(**options["network"]).trained == "all"
    assert TrainingOptions(**options["training"]).init_from == "blazepose-full"
    assert AdaptationOptions(**options["adaptation"]).labels == "keypoint"

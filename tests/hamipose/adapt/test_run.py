import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from hamipose import load
from hamipose.cli import main
from hamipose.data.coco import CocoKeypoints
from hamipose.models.detection import PersonDetector

SMALL = ["--backbone", "resnet10t", "--size", "32", "--batch-size", "4", "--start-steps", "10", "--steps", "5"]


@pytest.mark.slow
def test_footage_becomes_a_model_and_the_same_command_goes_on(
    dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    source = f"{dots / 'light/images'}:{dots / 'light/annotations.json'}"
    labels = str(dots / "dark/annotations.json")
    command = ["adapt", str(dots / "dark/images"), "--out", str(out), "--source", source, "--labels", labels, *SMALL]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "mirror agreement" in printed
    assert "PCK@0.05" in printed
    names = ("model.safetensors", "config.yaml", "before.json", "after.json", "signs.json", "report.html")
    assert all((out / name).stat().st_size > 0 for name in names)
    signs = json.loads((out / "signs.json").read_text())
    assert set(signs["before"]) == set(signs["after"])
    scores = json.loads((out / "adapted/scores.json").read_text())["scores"]
    assert abs(signs["labelled"]["after"]["0.1"] - scores["report/labelled/teacher/pck@0.1"]) < 1e-5
    model = load(out)
    assert model.info.image_size == 32
    # What is written as "after" is what the model says.
    after = CocoKeypoints(root="", annotations=str(out / "after.json"), skeleton="body16")
    (again,) = model.predict(str(dots / "dark/images/0000.png"))
    assert abs(after[0].keypoints_px - again.keypoints_px).max() < 0.02

    monkeypatch.setattr("hamipose.adapt.run.run_verb", lambda arguments: pytest.fail(f"trained again: {arguments}"))
    assert main(command) == 0


def test_mistakes_cost_no_training(tmp_path: Path, dots: Path, capsys: pytest.CaptureFixture):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ["--out", str(tmp_path / "out")]
    for arguments, says in (
        (["nowhere"], "does not exist"),
        ([str(empty)], "no picture"),
        ([str(dots / "dark/images"), "--source", "here"], "FOLDER:ANNOTATIONS"),
        ([str(dots / "dark/images"), "--steps", "0"], "--steps is 0"),
        ([str(dots / "dark/images"), "--start", "nowhere.ckpt"], "nowhere.ckpt"),
    ):
        assert main(["adapt", *arguments, *out]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out" / "start").exists()


@pytest.mark.slow
def test_people_are_looked_for_once(dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch):
    """Every picture has two people, one has nobody; the run learns from all of them, by a file that it goes on with."""

    class Halves(PersonDetector):
        name, least, looked = "halves", 0.5, 0

        def __call__(self, image: np.ndarray) -> np.ndarray:
            self.looked += 1
            height, width = image.shape[:2]
            boxes = [[0, 0, width / 2, height, 0.9], [width / 2, 0, width / 2, height, 0.8]]
            return np.array(boxes if self.looked > 1 else [], np.float32).reshape(-1, 5)

    detector = Halves()
    monkeypatch.setattr("hamipose.adapt.run.open_detector", lambda given, least: detector)
    out, pictures = tmp_path / "out", len(list((dots / "dark/images").iterdir()))
    source = f"{dots / 'light/images'}:{dots / 'light/annotations.json'}"
    command = [
        "adapt",
        str(dots / "dark/images"),
        "--out",
        str(out),
        "--source",
        source,
        *SMALL,
        "--detector",
        "halves",
    ]
    assert main(command) == 0
    people = f"{2 * pictures - 2} people found in {pictures} pictures; nobody in 1 of them"
    assert people in capsys.readouterr().out
    assert detector.looked == pictures
    config = yaml.safe_load((out / "adapted/run.yaml").read_text())
    assert config["data"]["target"][0]["init_args"]["boxes"] == str(out / "boxes.json")
    after = json.loads((out / "after.json").read_text())
    assert len(after["annotations"]) == 2 * pictures - 2
    assert len(after["images"]) == pictures - 1

    monkeypatch.setattr("hamipose.adapt.run.run_verb", lambda arguments: pytest.fail(f"trained again: {arguments}"))
    assert main(command) == 0
    assert detector.looked == pictures
    detector.least = 0.7
    assert main(command) == 2
    assert "least 0.7" in capsys.readouterr().err

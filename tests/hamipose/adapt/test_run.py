import gc
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from hamipose import load
from hamipose.cli import main
from hamipose.engine.metrics_file import read_run
from hamipose.evaluation.prediction_files import read_predictions
from hamipose.inference.predictor import PosePrediction, Predictor
from hamipose.models.model_io import ModelInfo, save_model_folder
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.catalog import PEOPLE
from hamipose.skeletons import BODY16
from hamipose.types import UnlabeledSample

SHORT = ["--batch-size", "4", "--adapt-steps", "5"]
SMALL = [
    "--backbone",
    "test_resnet",
    "--image-size",
    "32",
    "--batch-size",
    "4",
    "--start-steps",
    "10",
    "--adapt-steps",
    "5",
]


def command(dots: Path, out: Path, *options: str, footage: str = "dark") -> list[str]:
    source = f"{dots / 'light/images'}:{dots / 'light/annotations.json'}"
    return ["adapt", str(dots / footage / "images"), "--out", str(out), "--source", source, *options]


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamipose.training.run", lambda arguments: pytest.fail(f"trained again: {arguments}"))


@pytest.fixture(scope="module")
def adapted(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run an adaptation and return its output folder."""
    out = tmp_path_factory.mktemp("adapted") / "out"
    assert main(command(dots, out, *SMALL, "--labels", str(dots / "dark/annotations.json"))) == 0
    return out


@pytest.fixture
def out(adapted: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return shutil.copytree(adapted, tmp_path / "out")


@pytest.fixture
def tiny_start(tmp_path: Path) -> Path:
    info = ModelInfo("body16", "test_resnet", (8, 8, 8), 32, "SourceOnly")
    network = info.network()
    with torch.no_grad():
        network.final.bias.copy_(torch.linspace(0.2, 0.8, len(BODY16)))  # confidences that differ by keypoint
    return save_model_folder(tmp_path / "start", network, info)


@pytest.mark.slow
def test_adapt_writes_a_model_and_the_same_command_reuses_it(
    dots: Path, out: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    forbid_training(monkeypatch)
    names = ("model.safetensors", "config.yaml", "before.json", "after.json", "self_consistency.json", "report.html")
    assert all((out / name).stat().st_size > 0 for name in names)
    assert load(out).info.image_size == 32
    # after.json contains the predictions of the adapted model.
    after = read_predictions(out / "after.json", BODY16)
    (again,) = load(out).predict(str(dots / "dark/images/0000.png"))
    assert abs(after[0].keypoints_px - again.keypoints_px).max() < 0.02
    indicators = json.loads((out / "self_consistency.json").read_text())
    assert set(indicators["before"]) == set(indicators["after"])
    scores = json.loads((out / "adapted/scores.json").read_text())["scores"]
    assert abs(indicators["labeled"]["after"]["0.1"] - scores["test/labeled/teacher/pck@0.1"]) < 1e-5
    # Labels select nothing: they can be omitted or added later.
    for labels in ([], ["--labels", str(dots / "dark/annotations.json")]):
        assert main(command(dots, out, *SMALL, *labels)) == 0
        printed = capsys.readouterr().out
        assert "mirror agreement" in printed
        assert ("PCK@0.05" in printed) == bool(labels)
    assert json.loads((out / "self_consistency.json").read_text()) == indicators


@pytest.mark.slow
def test_another_request_for_a_finished_folder_raises_an_error(dots: Path, out: Path, capsys, monkeypatch):
    forbid_training(monkeypatch)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for arguments, says in (
        (command(dots, out, *SMALL, footage="light"), str(dots / "light/images")),
        (command(dots, out, *SMALL[:-1], "20"), "--adapt-steps 20"),
        (command(dots, out, *SMALL, "--seed", "5"), "--seed 5"),
        (command(dots, out, *SMALL, "--image-size", "64"), "--image-size 64"),
        (command(dots, out, "--batch-size", "4", "--adapt-steps", "5", "--start", str(out)), f"--start {out}"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert says in error
        assert "give another --out" in error
        assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
    (out / "run.json").unlink()
    assert main(command(dots, out, *SMALL)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["start", "adapted"])
def test_resume_of_the_last_evaluation_keeps_all_metrics(dots: Path, out: Path, stage: str):
    (out / stage / "scores.json").unlink()
    (out / "report.html").unlink()
    shown = read_run(out / stage)
    for _ in range(2):
        assert main(command(dots, out, *SMALL)) == 0
        after = read_run(out / stage)
        assert (
            shown.items()
            <= {name: {s: v for s, v in after[name].items() if s in shown[name]} for name in after}.items()
        )
    assert (out / stage / "scores.json").exists()
    assert (out / "report.html").exists()


@pytest.mark.slow
def test_before_describes_the_model_that_adaptation_started_from(dots: Path, out: Path, tmp_path: Path):
    """Also if the given file has changed since."""
    second = tmp_path / "second"
    again = command(dots, second, "--batch-size", "4", "--adapt-steps", "5", "--start", str(out))
    assert main(again) == 0
    before = (second / "before.json").read_bytes()
    assert before == (out / "after.json").read_bytes()
    shutil.copy(out / "start/checkpoints/last.ckpt", out / "adapted/checkpoints/last.ckpt")
    network = load(out / "adapted/checkpoints/last.ckpt", image_size=32)
    save_model_folder(out, network.network, network.info)
    assert main(again) == 0
    assert (second / "before.json").read_bytes() == before


def test_training_starts_without_images_in_memory(dots: Path, tiny_start: Path, tmp_path: Path, monkeypatch):
    held = []

    def count(arguments: list[str]) -> None:
        gc.collect()
        held.append(sum(type(thing) is UnlabeledSample for thing in gc.get_objects()))
        raise KeyboardInterrupt

    monkeypatch.setattr("hamipose.training.run", count)
    assert main(command(dots, tmp_path / "out", *SHORT, "--start", str(tiny_start))) == 130
    assert held == [0]


def test_errors_are_raised_before_training(tmp_path: Path, dots: Path, capsys: pytest.CaptureFixture):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    partly = tmp_path / "partly.json"  # the last of its images does not exist
    labels = json.loads((dots / "dark/annotations.json").read_text())
    labels["images"][-1]["file_name"] = "gone.png"
    partly.write_text(json.dumps(labels))
    for arguments, says in (
        (["nowhere"], "does not exist"),
        ([str(empty)], "no image"),
        ([str(dots / "dark/images"), "--source", "here"], "FOLDER:ANNOTATIONS"),
        ([str(dots / "dark/images"), "--adapt-steps", "0"], "--adapt-steps: 0 is too small"),
        ([str(dots / "dark/images"), "--start", "nowhere.ckpt"], "nowhere.ckpt"),
        ([str(dots / "dark/images"), "--start", "a.ckpt", "--image-size", "96"], "--start and --image-size"),
        ([str(dots / "dark/images"), "--start", "a.ckpt", "--backbone", "resnet18"], "--start and --backbone"),
        ([str(dots / "dark/images"), "--labels", str(partly)], "gone.png, named in"),
        ([str(dots / "dark/images"), "--weights", "nowhere.pth"], "weights nowhere.pth does not exist"),
        ([str(dots / "dark/images"), "--backbone", "resnet999"], "timm has no 'resnet999'"),
        (
            [str(dots / "dark/images"), "--backbone", "resnet10t", "--image-size", "100"],
            "--image-size is 100, expected a multiple",
        ),
        ([str(dots / "dark/images"), "--backbone", "resnet10t", "--out", str(partly)], f"{partly} cannot be used"),
        ([str(dots / "dark/images/0000.png")], "neither a folder nor a video"),
        ([str(dots / "dark/images"), "--teacher", "nowhere.json"], "nowhere.json cannot be read"),
    ):
        assert main(["adapt", *out, *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out" / "start").exists()


def test_labels_that_cannot_be_scored_raise_an_error_before_training(tmp_path: Path, dots: Path, capsys, monkeypatch):
    forbid_training(monkeypatch)
    content = json.loads((dots / "dark/annotations.json").read_text())
    labels = tmp_path / "labels.json"
    unlabeled, missing, wrong = (json.loads(json.dumps(content)) for _ in range(3))
    for person in unlabeled["annotations"]:
        person["keypoints"] = [
            v if k % 3 < 2 or k // 3 == BODY16.index("head") else 0 for k, v in enumerate(person["keypoints"])
        ]
    missing["images"][5]["file_name"] = "lost.png"
    wrong["images"][5]["width"] = 40
    for labeled, says in (
        (unlabeled, "has no label for any of right_shoulder"),
        (missing, "lost.png, named in"),
        (wrong, "0005.png has 48 × 48 px, but"),
    ):
        labels.write_text(json.dumps(labeled))
        assert main(command(dots, tmp_path / "out", *SMALL, "--labels", str(labels))) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out" / "start").exists()


@pytest.mark.slow
def test_prediction_file_labels_the_footage(
    dots: Path, tiny_start: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """A file as `predict` writes it; without it the request differs."""
    out, teacher = tmp_path / "out", tmp_path / "predictions.json"
    teacher.write_text((dots / "dark/annotations.json").read_text())
    short = [*SHORT, "--start", str(tiny_start)]
    arguments = command(dots, out, *short, "--teacher", str(teacher))
    assert main(arguments) == 0
    config = yaml.safe_load((out / "adapted/config.yaml").read_text())
    assert config["model"]["init_args"]["adaptation"]["labels"] == "predictions"
    (target,) = config["data"]["target"]
    assert target["class_path"].endswith("PredictedKeypoints")
    assert target["init_args"]["dataset"]["init_args"]["root"] == str(dots / "dark/images")
    # The file has flags and no scores: every label has full weight.
    columns = read_run(out / "adapted")
    assert set(columns["train/confidence"].values()) == {1.0}
    capsys.readouterr()
    assert main(command(dots, out, *short)) == 2
    assert f"--teacher {teacher}" in capsys.readouterr().err


@pytest.mark.slow
def test_people_are_detected_once(
    dots: Path, tiny_start: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
):
    """Each image has two people except one without any; the run reuses the box file."""

    class Halves(PersonDetector):
        name, threshold, looked = "halves", 0.5, 0

        def __call__(self, image: np.ndarray) -> np.ndarray:
            self.looked += 1
            height, width = image.shape[:2]
            boxes = [[0, 0, width / 2, height, 0.9], [width / 2, 0, width / 2, height, 0.8]]
            return np.array(boxes if self.looked > 1 else [], np.float32).reshape(-1, 5)

    detector = Halves()
    monkeypatch.setattr("hamipose.adapt.run.open_detector", lambda given, threshold: detector)
    out, pictures = tmp_path / "out", len(list((dots / "dark/images").iterdir()))
    arguments = command(dots, out, *SHORT, "--start", str(tiny_start), "--detector", "halves")
    assert main(arguments) == 0
    people = f"detected {2 * pictures - 2} people in {pictures} images; images without people (skipped): 1"
    assert people in capsys.readouterr().out
    assert detector.looked == pictures
    config = yaml.safe_load((out / "adapted/run.yaml").read_text())
    assert config["data"]["target"][0]["init_args"]["boxes"] == str(out / "boxes.json")
    after = json.loads((out / "after.json").read_text())
    assert len(after["annotations"]) == 2 * pictures - 2
    assert len(after["images"]) == pictures - 1

    forbid_training(monkeypatch)
    assert main(arguments) == 0
    assert detector.looked == pictures
    detector.threshold = 0.7
    assert main(arguments) == 2
    assert "threshold 0.7" in capsys.readouterr().err


@pytest.mark.slow
def test_teacher_network_labels_the_footage_once(
    dots: Path, tiny_start: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Its prediction is interrupted, resumed and then reused; its scores weight its labels."""
    footage, out = len(list((dots / "dark/images").iterdir())), tmp_path / "out"
    arguments = command(
        dots, out, "--start", str(tiny_start), "--adapt-steps", "5", "--batch-size", "4", "--teacher", str(tiny_start)
    )
    looked: list[str] = []
    stream = Predictor.stream

    def interrupted(self: Predictor, samples: Iterable[UnlabeledSample], **options: Any) -> Iterator[PosePrediction]:
        for sample in samples:
            if len(looked) == 5:
                looked.append("interrupted")
                raise KeyboardInterrupt
            looked.append(sample.name)
            yield from stream(self, [sample], **options)

    monkeypatch.setattr(Predictor, "stream", interrupted)
    assert main(arguments) == 130
    assert not (out / "teacher.json").exists()
    monkeypatch.setattr("hamipose.adapt.run._fit", lambda config, folder: looked.append("training") or exit(3))
    with pytest.raises(SystemExit):
        main(arguments)
    # The last of the five images before the interruption may not have been written.
    assert looked.index("training") - looked.index("interrupted") - 1 in (footage - 5, footage - 4)
    monkeypatch.undo()
    written = (out / "teacher.json").read_bytes()
    content = json.loads(written)
    assert len(content["images"]) == footage
    assert content["info"]["made_by"] == str(tiny_start)
    capsys.readouterr()
    assert main(arguments) == 0
    assert "Predicting with" not in capsys.readouterr().out
    assert (out / "teacher.json").read_bytes() == written
    config = yaml.safe_load((out / "adapted/config.yaml").read_text())
    assert config["model"]["init_args"]["adaptation"]["labels"] == "predictions"
    assert config["data"]["target"][0]["init_args"]["predictions"] == str(out / "teacher.json")
    model = load(tiny_start).use_default_passes()
    found = model.predict([str(path) for path in sorted((dots / "dark/images").iterdir())])
    scores = np.array([each["keypoint_scores"] for each in content["annotations"]])
    np.testing.assert_allclose(scores, np.stack([p.confidence for p in found]), atol=2e-3)
    # Another teacher is a different request.
    assert main([*arguments[:-1], str(dots / "dark/annotations.json")]) == 2
    assert "--teacher" in capsys.readouterr().err


def test_shipped_start_is_the_default(
    dots: Path, tiny_start: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It is not used with --start train or with options of the network."""
    monkeypatch.setitem(PEOPLE.__dict__, "folder", tiny_start)
    other = shutil.copytree(tiny_start, tmp_path / "other")
    specs: list[Any] = []
    monkeypatch.setattr("hamipose.adapt.run.adapt", lambda spec, machine, log: specs.append(spec))
    out = tmp_path / "out"
    for options, start in (
        ([], tiny_start),
        (["--start", "train"], None),
        (["--backbone", "resnet18"], None),
        (["--start", str(other)], other),
    ):
        assert main(command(dots, out, *options)) == 0
        assert specs[-1].start == start
        assert capsys.readouterr().out.startswith("start: people (Apache-2.0)") == (start == tiny_start)
    monkeypatch.setitem(PEOPLE.__dict__, "folder", tmp_path / "nothing")
    assert main(command(dots, out)) == 0
    assert specs[-1].start is None

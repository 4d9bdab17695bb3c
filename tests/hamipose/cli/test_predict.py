import json
import resource
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.cli import main
from hamipose.models.model_io import ModelInfo, save_model_folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    info = ModelInfo("body16", "resnet10t", (8, 8, 8), 64)
    return save_model_folder(tmp_path / "model", info.network(), info)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 48, 3), 80 * number, np.uint8))
    return folder


def test_predict_writes_keypoints_and_overlays(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (pictures / "9.png").write_text("broken")
    out = tmp_path / "out"
    options = ["--csv", "--heatmaps", "--batch-size", "2"]
    assert main(["predict", str(pictures), "--checkpoint", str(model), "--out", str(out), *options]) == 0
    content = json.loads((out / "predictions.json").read_text())
    assert [Path(i["file_name"]).name for i in content["images"]] == ["0.png", "1.png", "2.png"]
    assert len(content["annotations"]) == 3
    assert len(list((out / "overlays").iterdir())) == 3
    assert [np.load(p).shape for p in (out / "heatmaps").iterdir()] == [(16, 16, 16)] * 3
    assert (out / "predictions.csv").exists()
    printed = capsys.readouterr()
    assert "3 people" in printed.out
    assert "9.png" in printed.err


def test_predict_ignores_its_own_overlays(
    model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(pictures)
    (pictures / "overlays").mkdir()  # a user's folder with other image names
    (pictures / "0.png").rename(pictures / "overlays" / "0.png")
    for out in ([], [], ["--out", "in/more"], []):
        assert main(["predict", ".", "--checkpoint", str(model), *out]) == 0
        assert "\n3 people in .:" in capsys.readouterr().out
    assert len(list(Path("predictions/overlays").iterdir())) == 3
    assert main(["predict", "in", "--checkpoint", str(model)]) == 2
    assert "contains no image except overlays drawn by predict" in capsys.readouterr().err
    assert (
        main(["predict", "in/more/overlays", "--checkpoint", str(model), "--out", "of them"]) == 0
    )  # explicitly requested


def test_errors_are_one_line(model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    for path in pictures.iterdir():
        path.write_text("broken")
    out = ["--out", str(tmp_path / "out")]
    assert main(["predict", str(pictures), "--checkpoint", str(model), *out]) == 2
    assert "nothing in" in capsys.readouterr().err
    assert main(["predict", str(pictures), "--checkpoint", "nowhere.ckpt", *out]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--frame-stride", "0", "--frame-stride: 0 is too small"),
        ("--limit", "0", "--limit: 0 is too small"),
        ("--limit", "-1", "--limit: -1 is too small"),
        ("--batch-size", "0", "--batch-size: 0 is too small"),
        ("--image-size", "0", "--image-size: 0 is too small"),
        ("--image-size", "50", "50 × 50 px: expected multiples of 32"),
        ("--device", "gpu", "device is 'gpu'"),
    ],
)
def test_invalid_values_raise_an_error_before_reading_images(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture, option: str, value: str, says: str
):
    out = tmp_path / "out"
    given = [str(pictures), "--checkpoint", str(model), "--out", str(out), option, value]
    assert main(["predict", *given]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit files to 20 kB, which fails like a full disk: within the write, without naming a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["pictures", "video"])
def test_full_disk_while_drawing_keeps_the_keypoints(
    model: Path, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture, small_files: None
):
    rng, source = np.random.default_rng(0), tmp_path / ("clip.mp4" if kind == "video" else "photos")
    if kind == "video":
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
        for _ in range(3):
            writer.write(np.zeros((240, 320, 3), np.uint8))
        writer.release()
    else:
        source.mkdir()
        noise = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
        cv2.imwrite(str(source / "a.jpg"), noise, [cv2.IMWRITE_JPEG_QUALITY, 10])
    out = tmp_path / "out"
    (out / "overlay.mp4").mkdir(parents=True)  # blocks the output video
    assert main(["predict", str(source), "--checkpoint", str(model), "--out", str(out)]) == 2
    printed = capfd.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: ")
    assert str(out) in printed.err
    assert len(json.loads((out / "predictions.json").read_text())["annotations"]) == (3 if kind == "video" else 1)
    assert sorted(path.name for path in out.rglob("*") if path.name.startswith(".")) == []
    assert not list(out.rglob("*.jpg"))


def test_keypoints_are_written_atomically(
    model: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture, small_files: None
):
    out = tmp_path / "out"
    given = ["predict", str(pictures), "--checkpoint", str(model), "--out", str(out), "--no-overlays"]
    assert main(given) == 0
    before = (out / "predictions.json").read_bytes()
    for number in range(3, 80):
        cv2.imwrite(str(pictures / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
    capfd.readouterr()
    assert main(given) == 2
    line = capfd.readouterr().err
    assert line.startswith(f"error: {out / 'predictions.json'} cannot be used (File too large); free some space")
    assert line.count("\n") == 1
    assert (out / "predictions.json").read_bytes() == before
    assert [path.name for path in out.iterdir()] == ["predictions.json"]


def test_output_folder_is_checked_before_detection(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hamipose.inference.detection.open_detector", lambda *given: None)
    monkeypatch.setattr("hamipose.inference.box_file.detect_people", lambda *given, **more: pytest.fail("too early"))
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    given = [str(pictures), "--checkpoint", str(model), "--out", out, "--detector", "torchvision"]
    assert main(["predict", *given]) == 2
    assert f"error: {out} cannot be used" in capsys.readouterr().err

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.inference import detection
from hamipose.inference.box_file import detect_people
from hamipose.inference.footage import open_footage
from hamipose.models.person_detection import PersonDetector
from hamipose.types import UnlabeledSample


class Bright(PersonDetector):
    """Finds white squares; counts its calls, and can be interrupted."""

    name, threshold = "bright", 0.5

    def __init__(self, looks: int | None = None):
        self.looked = 0
        self.looks = looks

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.looked == self.looks:
            raise KeyboardInterrupt
        self.looked += 1
        white = (image.min(-1) > 200).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(white)
        people = [[*stat[:4], 0.5 + i / 10] for i, stat in enumerate(stats[1:], 1)]
        return np.array(people[::-1], np.float32).reshape(-1, 5)


SQUARES = {
    "a.png": [(4, 6, 20, 30)],
    "b.png": [],
    "in/c.png": [(2, 2, 10, 10), (30, 20, 16, 24)],
    "in/d.png": [(9, 9, 9, 9)],
}


def picture(squares: list[tuple[int, int, int, int]]) -> np.ndarray:
    image = np.zeros((48, 64, 3), np.uint8)
    for left, top, width, height in squares:
        image[top : top + height, left : left + width] = 255
    return image


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Create four images with one, no, two and one people."""
    folder = tmp_path / "people"
    (folder / "in").mkdir(parents=True)
    for name, squares in SQUARES.items():
        cv2.imwrite(str(folder / name), picture(squares))
    return folder


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Create six frames; two people in the even ones, none in the odd ones."""
    path = tmp_path / "film.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(6):
        video.write(picture([] if number % 2 else [(2, 2, 10, 10), (30, 20, 16, 24)]))
    video.release()
    return path


def test_people_of_a_folder_become_crops(people: Path, tmp_path: Path):
    boxes = tmp_path / "out/boxes.json"
    found = detect_people(str(people), Bright(), boxes)
    assert (found.images, found.empty, found.people) == (4, 1, 4)
    assert str(found) == "detected 4 people in 4 images; images without people (skipped): 1"
    content = json.loads(boxes.read_text())
    assert [i["file_name"] for i in content["images"]] == list(SQUARES)
    assert [(i["width"], i["height"]) for i in content["images"]] == [(64, 48)] * 4
    assert [(a["image_id"], a["bbox"], a["score"]) for a in content["annotations"]] == [
        (1, [4, 6, 20, 30], 0.6),
        (3, [30, 20, 16, 24], 0.7),
        (3, [2, 2, 10, 10], 0.6),
        (4, [9, 9, 9, 9], 0.6),
    ]
    samples = list(open_footage(str(people), boxes=str(boxes)).samples)
    assert [s.name for s in samples] == [
        f"{people / n}#{i}" for i, n in enumerate(["a.png", "in/c.png", "in/c.png", "in/d.png"])
    ]
    np.testing.assert_allclose(samples[0].box_px, [1.5, 2.25, 25, 37.5])
    assert samples[1].image[25, 35].tolist() == [255, 255, 255]


def test_people_of_video_frames_become_crops(film: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    found = detect_people(str(film), Bright(), boxes)
    assert (found.images, found.empty, found.people) == (6, 3, 6)
    footage = open_footage(str(film), boxes=str(boxes))
    samples = list(footage.samples)
    assert [s.name for s in samples] == [f"{film}#{n}#{i}" for i, n in enumerate([0, 0, 2, 2, 4, 4])]
    assert footage.is_video
    assert footage.rate == pytest.approx(5)  # every other frame has people
    for sample in samples:
        left, top, width, height = sample.box_px
        assert sample.image[int(top + height / 2), int(left + width / 2)].min() > 200
    assert [s.name for s in open_footage(str(film), boxes=str(boxes), frame_stride=4).samples] == [
        f"{film}#{n}#{i}" for i, n in enumerate([0, 0, 4, 4])
    ]


def test_repeated_call_processes_no_image_twice(people: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    with pytest.raises(KeyboardInterrupt):
        detect_people(str(people), Bright(looks=2), boxes)
    assert not boxes.exists()
    rest = Bright()
    found = detect_people(str(people), rest, boxes)
    assert rest.looked == 2
    assert found.people == 4
    whole = tmp_path / "whole.json"
    detect_people(str(people), Bright(), whole)
    assert json.loads(boxes.read_text()) == json.loads(whole.read_text())
    assert not list(tmp_path.glob("*.part"))

    again = Bright()
    assert str(detect_people(str(people), again, boxes)) == str(found)
    assert again.looked == 0
    cv2.imwrite(str(people / "new.png"), picture([(1, 1, 5, 5)]))
    (people / "a.png").unlink()
    assert detect_people(str(people), again, boxes).people == 4
    assert again.looked == 1


def test_other_footage_or_detector_replaces_the_file_or_is_rejected(people: Path, film: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    detect_people(str(people), Bright(), boxes)
    other = Bright()
    other.threshold = 0.65
    with pytest.raises(UserError, match=r"threshold 0\.5.*threshold 0\.65"):
        detect_people(str(people), other, boxes, keep_existing=True)
    detect_people(str(people), other, boxes)
    assert other.looked == 4
    with pytest.raises(UserError, match="footage"):
        detect_people(str(film), other, boxes, keep_existing=True)
    assert detect_people(str(film), other, boxes).people == 6
    boxes.write_text("{}")
    with pytest.raises(UserError, match="move it to another place"):
        detect_people(str(people), other, boxes)


def test_box_file_of_one_image_is_limited_to_it(people: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    assert detect_people(str(people / "in/c.png"), Bright(), boxes).people == 2
    assert len(list(open_footage(str(people / "in/c.png"), boxes=str(boxes)).samples)) == 2
    with pytest.raises(UserError, match=r"no box for a\.png"):
        open_footage(str(people / "a.png"), boxes=str(boxes))


def test_images_are_rotated_by_their_exif_orientation(people: Path, tmp_path: Path):
    """Boxes of a rotated photo refer to the upright image."""
    from PIL import Image

    folder = tmp_path / "phone"
    folder.mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6  # turn by 90° to the right
    Image.fromarray(picture([(4, 6, 20, 30)])).save(folder / "p.jpg", exif=tag, quality=95)
    boxes = tmp_path / "boxes.json"
    detect_people(str(folder), Bright(), boxes)
    (sample,) = open_footage(str(folder), boxes=str(boxes)).samples
    assert sample.image.shape == (64, 48, 3)
    x, y = sample.box_px[:2] + sample.box_px[2:] / 2
    assert sample.image[int(y), int(x)].min() > 200
    np.testing.assert_allclose([x, y], [48 - (6 + 15), 4 + 10], atol=1)


def test_no_person_is_reported(tmp_path: Path, people: Path):
    (people / "broken.png").write_bytes(b"not an image")
    found = detect_people(str(people), Bright(), tmp_path / "boxes.json")
    assert len(found.unreadable) == 1
    with pytest.raises(UserError, match="bright found no person in 1 images"):
        detect_people(str(people / "b.png"), Bright(), tmp_path / "none.json")


# ---------------------------------------------------------------------------------------------------- the verb


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> Bright:
    detector = Bright()
    monkeypatch.setattr(detection, "open_detector", lambda given, threshold, device=None: detector)
    return detector


def test_predict_uses_a_detector(
    model_folder: Path, people: Path, tmp_path: Path, bright: Bright, capsys: pytest.CaptureFixture
):
    command = ["predict", str(people), "--checkpoint", str(model_folder), "--out", str(tmp_path / "out")]
    for out in (tmp_path / "out", tmp_path / "out", people, people):  # its own output among the images is not processed
        assert main([*command, "--out", str(out), "--detector", "bright"]) == 0
        assert bright.looked == (8 if out == people else 4)
    printed = capsys.readouterr().out
    assert "images without people (used as whole images): 1" in printed
    assert "5 people in" in printed
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [Path(i["file_name"]).name for i in content["images"]] == ["a.png", "b.png", "c.png", "d.png"]
    assert [a["image_id"] for a in content["annotations"]] == [1, 2, 3, 3, 4]
    assert len(list((tmp_path / "out/overlays").iterdir())) == 4
    assert main([*command, "--detector", "bright", "--boxes", "b.json"]) == 2
    assert "--detector and --boxes are both given" in capsys.readouterr().err


def test_predict_uses_a_detector_on_a_video(model_folder: Path, film: Path, tmp_path: Path, bright: Bright):
    out = tmp_path / "out"
    command = ["predict", str(film), "--checkpoint", str(model_folder), "--out", str(out), "--detector", "bright"]
    assert main([*command, "--frame-stride", "2"]) == 0
    assert bright.looked == 3
    content = json.loads((out / "predictions.json").read_text())
    assert [i["file_name"] for i in content["images"]] == [f"{film}#{n}" for n in (0, 2, 4)]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 2, 2, 3, 3]
    assert len(list(open_footage(str(out / "overlay.mp4")).samples)) == 3


def test_predict_detects_people_of_a_webcam_on_the_fly(
    model_folder: Path, tmp_path: Path, bright: Bright, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    frames = [picture(squares) for squares in SQUARES.values()]
    monkeypatch.setattr(
        "hamipose.inference.footage._webcam",
        lambda number: (
            sample
            for i, frame in enumerate(frames)
            for sample in [
                UnlabeledSample(image=frame, box_px=np.array([0, 0, 64, 48], np.float32), name=f"webcam:0#{i}")
            ]
        ),
    )
    out = tmp_path / "out"
    assert (
        main(["predict", "webcam", "--checkpoint", str(model_folder), "--out", str(out), "--detector", "bright"]) == 0
    )
    content = json.loads((out / "predictions.json").read_text())
    assert [i["file_name"] for i in content["images"]] == [f"webcam:0#{n}" for n in range(4)]
    assert len(content["annotations"]) == 5
    assert "images without people (used as whole images): 1" in capsys.readouterr().out

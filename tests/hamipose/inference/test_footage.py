import json
from pathlib import Path

import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.inference.footage import open_footage


def test_folder_is_read_in_order_and_unreadable_images_are_listed(image_folder: Path):
    (image_folder / "p1.png").write_bytes(b"not an image")
    footage = open_footage(str(image_folder))
    assert [Path(s.name).name for s in footage.samples] == ["p0.png", "p2.png"]
    assert footage.count == 3
    assert len(footage.unreadable) == 1
    assert "p1.png" in footage.unreadable[0]


def test_frame_stride_and_limit(image_folder: Path):
    footage = open_footage(str(image_folder), frame_stride=2)
    assert footage.count == 2
    assert [Path(s.name).name for s in footage.samples] == ["p0.png", "p2.png"]
    assert len(list(open_footage(str(image_folder), limit=1).samples)) == 1
    for bad in ({"frame_stride": 0}, {"limit": 0}, {"limit": -1}):
        with pytest.raises(UserError, match=rf"{next(iter(bad))} is {next(iter(bad.values()))}, expected at least 1"):
            open_footage(str(image_folder), **bad)


def test_single_image_has_a_whole_image_box(image_folder: Path):
    (sample,) = open_footage(str(image_folder / "p0.png")).samples
    np.testing.assert_array_equal(sample.box_px, [0, 0, 60, 80])


def test_video_frames_are_read_in_order(clip: Path):
    footage = open_footage(str(clip), frame_stride=3)
    greys = [round(float(s.image.mean()) / 30) for s in footage.samples]
    assert greys == [0, 3, 6]
    assert footage.is_video
    assert footage.count == 3
    assert footage.rate == pytest.approx(10 / 3)


def test_boxes_are_read_with_a_margin(image_folder: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    people = [{"id": i, "image_id": 1, "bbox": [10, 20, 20, 40]} for i in range(2)]
    boxes.write_text(json.dumps({"images": [{"id": 1, "file_name": "p0.png"}], "annotations": people}))
    samples = list(open_footage(str(image_folder), boxes=str(boxes)).samples)
    assert [s.name for s in samples] == [f"{image_folder / 'p0.png'}#{i}" for i in range(2)]
    np.testing.assert_allclose(samples[0].box_px, [7.5, 15, 25, 50])


def write_boxes(path: Path, *names: str) -> str:
    """Write one box per name, each one pixel further to the right."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(dict.fromkeys(names))]
    number = {image["file_name"]: image["id"] for image in images}
    people = [{"image_id": number[name], "bbox": [i, 0, 20, 20]} for i, name in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": people}))
    return str(path)


def test_people_of_an_image_are_grouped(image_folder: Path, tmp_path: Path):
    boxes = write_boxes(tmp_path / "boxes.json", "p2.png", "p0.png", "p2.png", "p0.png")
    samples = list(open_footage(str(image_folder), boxes=boxes).samples)
    assert [Path(s.name).name for s in samples] == ["p2.png#0", "p2.png#1", "p0.png#2", "p0.png#3"]
    assert [s.box_px[0] + 2.5 for s in samples] == [0, 2, 1, 3]  # the margin is an eighth on each side


def test_boxes_of_other_videos_are_ignored(clip: Path, tmp_path: Path):
    names = ("other.mp4#0", "elsewhere/clip.mp4#3", "other.mp4#3", "elsewhere/clip.mp4#1")
    mixed = write_boxes(tmp_path / "mixed.json", *names)
    samples = list(open_footage(str(clip), boxes=mixed).samples)
    assert [Path(s.name).name for s in samples] == ["clip.mp4#1#0", "clip.mp4#3#1"]
    assert [s.box_px[0] + 2.5 for s in samples] == [3, 1]
    with pytest.raises(UserError, match=r"no box for clip\.mp4.*but for other\.mp4"):
        open_footage(str(clip), boxes=write_boxes(tmp_path / "other.json", "other.mp4#0"))
    own = f"{clip.parent.name}/clip.mp4#2"
    (sample,) = open_footage(str(clip), boxes=write_boxes(tmp_path / "two.json", "in/clip.mp4#1", own)).samples
    assert sample.name.endswith("clip.mp4#2#0")
    with pytest.raises(UserError, match=r"'a/clip\.mp4' and 'b/clip\.mp4', each of which could be"):
        open_footage(str(clip), boxes=write_boxes(tmp_path / "two.json", "a/clip.mp4#1", "b/clip.mp4#1"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"images": []}', "lacks"),
        ('{"images": [], "annotations": []}', "no annotation"),
        (
            '{"images": [{"id": 1, "file_name": "p0.png"}], "annotations": [{"image_id": 1, "bbox": [0, 0, 0, 1]}]}',
            "bbox",
        ),
        (
            '{"images": [{"id": 1, "file_name": "p0.png"}], "annotations": [{"image_id": 2, "bbox": [0, 0, 1, 1]}]}',
            "not an image of the file",
        ),
        (
            '{"images": [{"id": 1, "file_name": "no.png"}], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}',
            "no.png",
        ),
    ],
)
def test_invalid_boxes_are_rejected(image_folder: Path, tmp_path: Path, content: str, message: str):
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        open_footage(str(image_folder), boxes=str(path))


@pytest.mark.parametrize(("given", "message"), [("nowhere", "does not exist"), ("webcam:x", "webcam:NUMBER")])
def test_unknown_footage_is_rejected(given: str, message: str):
    with pytest.raises(UserError, match=message):
        open_footage(given)


def test_other_files_and_webcam_boxes_are_rejected(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("no")
    with pytest.raises(UserError, match="neither an image nor a video"):
        open_footage(str(path))
    with pytest.raises(UserError, match="not known in advance"):
        open_footage("webcam", boxes="boxes.json")


def test_webcam_is_read_until_it_ends(monkeypatch: pytest.MonkeyPatch):
    class Camera:
        def __init__(self, number: int):
            assert number == 1
            self.left = 3

        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return (True, np.full((6, 8, 3), (0, 0, 200), np.uint8)) if self.left >= 0 else (False, None)

        def release(self) -> None:
            self.left = -1

    monkeypatch.setattr("cv2.VideoCapture", Camera)
    footage = open_footage("webcam:1")
    samples = list(footage.samples)
    assert len(samples) == 3
    assert samples[0].image[0, 0].tolist() == [200, 0, 0]
    assert footage.is_video

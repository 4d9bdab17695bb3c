from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.app.inference import compare_rows, run_model
from hamipose.app.response import respond
from hamipose.errors import UserError
from hamipose.inference.predictor import Predictor
from hamipose.io.image_file import read_image
from hamipose.models.person_detection import PersonDetector
from hamipose.viz.drawing import draw_keypoints


def test_a_photo_is_drawn_and_told_as_predict_does(model: Predictor, pictures: Path, tmp_path: Path):
    path = pictures / "p1.png"
    (person,) = model.predict(path)
    min_confidence = float(np.median(person.confidence))
    found = run_model(model, path, tmp_path, min_confidence=min_confidence)
    drawn = draw_keypoints(read_image(path), person.keypoints_px, model.skeleton, person.confidence >= min_confidence)
    np.testing.assert_array_equal(found.picture, drawn)
    assert [row[0] for row in found.rows] == list(model.skeleton.keypoints)
    np.testing.assert_allclose([row[1:3] for row in found.rows], person.keypoints_px, atol=0.051)
    np.testing.assert_allclose([row[3] for row in found.rows], person.confidence, atol=0.00051)
    assert person.confidence.min() > 0.01
    assert (found.clip, found.frames, found.more) == (None, 1, False)


def test_what_is_not_sure_enough_is_not_drawn_but_told(model: Predictor, pictures: Path, tmp_path: Path):
    found = run_model(model, pictures / "p0.png", tmp_path, min_confidence=1e6)
    np.testing.assert_array_equal(found.picture, read_image(pictures / "p0.png"))
    assert len(found.rows) == 16


def test_a_clip_becomes_a_clip_of_as_many_frames_and_means(model: Predictor, clip: Path, tmp_path: Path):
    found = run_model(model, clip, tmp_path / "out")
    assert found.clip is not None
    video = cv2.VideoCapture(str(found.clip))
    assert sum(1 for _ in iter(lambda: video.read()[0], False)) == found.frames == 7
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10, rel=0.02)
    assert found.clip.read_bytes()[:4] == b"\x1a\x45\xdf\xa3"  # Matroska, of which WebM is a kind
    assert found.clip.stat().st_size > 0
    alone = [run_model(model, _frame(clip, i, tmp_path), tmp_path).rows for i in range(7)]
    means = np.mean([[row[3] for row in rows] for rows in alone], axis=0)
    np.testing.assert_allclose([row[3] for row in found.rows], means, atol=0.02)
    assert not found.more


def _frame(clip: Path, number: int, folder: Path) -> Path:
    video = cv2.VideoCapture(str(clip))
    frames = [video.read()[1] for _ in range(number + 1)]
    path = folder / f"frame{number}.png"
    cv2.imwrite(str(path), frames[number])
    return path


def test_a_long_clip_is_cut_and_says_so(model: Predictor, clip: Path, tmp_path: Path):
    found = run_model(model, clip, tmp_path, limit=3)
    assert (found.frames, found.more) == (3, True)
    assert not run_model(model, clip, tmp_path, limit=7).more
    assert "3 frames (the clip is longer" in respond([model], str(clip), 0.1, tmp_path, limit=3).message


def test_comparison_is_by_name_and_in_pixels():
    one = [("nose", 0.0, 0.0, 0.5), ("left_hip", 1.0, 1.0, 0.25)]
    other = [("left_hip", 4.0, 5.0, 0.75), ("neck", 9.0, 9.0, 0.1)]
    assert compare_rows(one, other) == [("left_hip", 0.25, 0.75, 5.0)]


def test_two_models_answer_side_by_side(model: Predictor, pictures: Path, tmp_path: Path):
    finer = Predictor(model.network, replace(model.info, image_size=96), "cpu")
    said = respond([model, finer], str(pictures / "p2.png"), 0.1, tmp_path)
    assert len(said.pictures) == len(said.tables) == 2
    assert said.clips == []
    assert said.tables[0] == run_model(model, pictures / "p2.png", tmp_path).rows
    assert said.tables[1] == run_model(finer, pictures / "p2.png", tmp_path).rows
    assert said.comparison == compare_rows(*said.tables)
    assert any(row[3] > 0 for row in said.comparison)
    drawn = [sum(row[3] >= 0.1 for row in rows) for rows in said.tables]
    assert f"{drawn[0]} of 16 and {drawn[1]} of 16" in said.message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("notes.txt", "notes.txt is neither an image nor a video"),
        ("broken.jpg", "broken.jpg"),
        ("broken.mp4", "broken.mp4"),
        ("gone.png", "gone.png does not exist"),
    ],
)
def test_what_cannot_be_used_is_told_without_its_folder(model: Predictor, tmp_path: Path, name: str, says: str):
    path = tmp_path / name
    if not name.startswith("gone"):
        path.write_text("no picture")
    said = respond([model], str(path), 0.1, tmp_path)
    assert said.message.startswith("This file cannot be used: ")
    assert says in said.message
    assert str(tmp_path) not in said.message
    assert (said.pictures, said.clips, said.tables, said.comparison) == ([], [], [], [])


def test_no_file_and_folders(model: Predictor, tmp_path: Path):
    assert respond([model], None, 0.1, tmp_path).message == "Drop a photo or a clip."
    with pytest.raises(UserError, match="is a folder"):
        run_model(model, tmp_path, tmp_path)


class TwoOrNone(PersonDetector):
    """Finds two people in pictures that are wide, and none in others."""

    name, threshold = "told", 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        boxes = [[0, 0, 40, 60, 0.9], [50, 0, 40, 60, 0.8]] if image.shape[1] > 80 else []
        return np.array(boxes, np.float32).reshape(-1, 5)


def test_people_are_found_or_the_whole_picture_is_used(model: Predictor, pictures: Path, tmp_path: Path):
    two = run_model(model, pictures / "p1.png", tmp_path, detector=TwoOrNone())
    assert two.people == 2
    assert [row[0] for row in two.rows[:: len(model.skeleton)]] == ["right_ankle (1)", "right_ankle (2)"]
    whole = run_model(model, pictures / "p0.png", tmp_path, detector=TwoOrNone())
    assert whole.people == 1
    assert whole.rows == run_model(model, pictures / "p0.png", tmp_path).rows
    said = respond([model], str(pictures / "p1.png"), 0.1, tmp_path, detector=TwoOrNone()).message
    assert said.startswith("2 people. ")

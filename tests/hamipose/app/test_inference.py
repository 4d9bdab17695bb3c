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


def test_photo_result_equals_predict(model: Predictor, image_folder: Path, tmp_path: Path):
    path = image_folder / "p1.png"
    (person,) = model.predict(path)
    min_confidence = float(np.median(person.confidence))
    found = run_model(model, path, tmp_path, min_confidence=min_confidence)
    drawn = draw_keypoints(read_image(path), person.keypoints_px, model.skeleton, person.confidence >= min_confidence)
    np.testing.assert_array_equal(found.image, drawn)
    assert [row[0] for row in found.rows] == list(model.skeleton.keypoints)
    np.testing.assert_allclose([row[1:3] for row in found.rows], person.keypoints_px, atol=0.051)
    np.testing.assert_allclose([row[3] for row in found.rows], person.confidence, atol=0.00051)
    assert person.confidence.min() > 0.01
    assert (found.clip, found.frames, found.more) == (None, 1, False)


def test_low_confidence_keypoints_are_tabulated_but_not_drawn(model: Predictor, image_folder: Path, tmp_path: Path):
    found = run_model(model, image_folder / "p0.png", tmp_path, min_confidence=1e6)
    np.testing.assert_array_equal(found.image, read_image(image_folder / "p0.png"))
    assert len(found.rows) == 16


def test_clip_result_has_all_frames_and_mean_rows(model: Predictor, clip: Path, tmp_path: Path):
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


def test_long_clip_is_cut_with_a_message(model: Predictor, clip: Path, tmp_path: Path):
    found = run_model(model, clip, tmp_path, limit=3)
    assert (found.frames, found.more) == (3, True)
    assert not run_model(model, clip, tmp_path, limit=7).more
    assert "3 frames (the clip is longer" in respond([model], str(clip), 0.1, tmp_path, limit=3).message


def test_comparison_matches_names_and_measures_pixels():
    one = [("nose", 0.0, 0.0, 0.5), ("left_hip", 1.0, 1.0, 0.25)]
    other = [("left_hip", 4.0, 5.0, 0.75), ("neck", 9.0, 9.0, 0.1)]
    assert compare_rows(one, other) == [("left_hip", 0.25, 0.75, 5.0)]


def test_response_compares_two_models(model: Predictor, image_folder: Path, tmp_path: Path):
    finer = Predictor(model.network, replace(model.info, image_size=96), "cpu")
    response = respond([model, finer], str(image_folder / "p2.png"), 0.1, tmp_path)
    assert len(response.images) == len(response.tables) == 2
    assert response.clips == []
    assert response.tables[0] == run_model(model, image_folder / "p2.png", tmp_path).rows
    assert response.tables[1] == run_model(finer, image_folder / "p2.png", tmp_path).rows
    assert response.comparison == compare_rows(*response.tables)
    assert any(row[3] > 0 for row in response.comparison)
    drawn = [sum(row[3] >= 0.1 for row in rows) for rows in response.tables]
    assert f"{drawn[0]} of 16 and {drawn[1]} of 16" in response.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", "notes.txt is neither an image nor a video"),
        ("broken.jpg", "broken.jpg"),
        ("broken.mp4", "broken.mp4"),
        ("gone.png", "gone.png does not exist"),
    ],
)
def test_unusable_files_are_reported_without_their_folder(model: Predictor, tmp_path: Path, name: str, message: str):
    path = tmp_path / name
    if not name.startswith("gone"):
        path.write_text("not an image")
    response = respond([model], str(path), 0.1, tmp_path)
    assert response.message.startswith("This file cannot be used: ")
    assert message in response.message
    assert str(tmp_path) not in response.message
    assert (response.images, response.clips, response.tables, response.comparison) == ([], [], [], [])


def test_missing_file_and_folders_are_reported(model: Predictor, tmp_path: Path):
    assert respond([model], None, 0.1, tmp_path).message == "Drop a photo or a clip."
    with pytest.raises(UserError, match="is a folder"):
        run_model(model, tmp_path, tmp_path)


class TwoOrNone(PersonDetector):
    """Finds two people in wide images, and none in others."""

    name, threshold = "two-or-none", 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        boxes = [[0, 0, 40, 60, 0.9], [50, 0, 40, 60, 0.8]] if image.shape[1] > 80 else []
        return np.array(boxes, np.float32).reshape(-1, 5)


def test_images_without_people_are_used_as_whole_images(model: Predictor, image_folder: Path, tmp_path: Path):
    two = run_model(model, image_folder / "p1.png", tmp_path, detector=TwoOrNone())
    assert two.people == 2
    assert [row[0] for row in two.rows[:: len(model.skeleton)]] == ["right_ankle (1)", "right_ankle (2)"]
    whole = run_model(model, image_folder / "p0.png", tmp_path, detector=TwoOrNone())
    assert whole.people == 1
    assert whole.rows == run_model(model, image_folder / "p0.png", tmp_path).rows
    response = respond([model], str(image_folder / "p1.png"), 0.1, tmp_path, detector=TwoOrNone()).message
    assert response.startswith("2 people. ")

"""Predictions are written as a complete COCO file, and every reader reads them in the same pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.evaluation.prediction_files import match_predictions, orient_predictions, read_predictions
from hamipose.evaluation.prediction_scores import evaluate
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import Predictor
from hamipose.inference.writers import write_coco
from hamipose.io.coco_writer import PredictedPerson, build_coco
from hamipose.io.image_orientation import orient_points, read_image_header
from hamipose.skeletons import BODY16
from meshtto.joints import JOINTS49
from meshtto.predict.frames import open_frames
from meshtto.predict.keypoints import KeypointFile


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Create images of noise with each EXIF orientation, as phones store them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for orientation in range(1, 9):
        tag = Image.Exif()
        tag[0x0112] = orientation
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((80, 60))
        coarse.save(folder / f"{orientation}.jpg", exif=tag, quality=95)
    return folder


@pytest.fixture
def written(model: Predictor, photos: Path, tmp_path: Path) -> Path:
    found = list(model.stream(open_footage(str(photos)).samples))
    for person in found:  # an untrained network has low confidences
        person.confidence[:] = np.linspace(0, 1, 16)
    write_coco(tmp_path / "found.json", found, model.skeleton)
    return tmp_path / "found.json"


def test_pycocotools_reads_predictions(written: Path, photos: Path, capsys: pytest.CaptureFixture):
    truth = COCO(str(written))
    assert len(truth.getImgIds()) == len(truth.getAnnIds()) == 8
    assert truth.dataset["info"]["upright"] is True
    for image in truth.dataset["images"]:
        header = read_image_header(image["file_name"])
        assert header is not None
        assert (image["width"], image["height"]) == header.size(upright=True)
    person = truth.loadAnns(truth.getAnnIds(areaRng=[1, 1e9], iscrowd=False))[0]
    assert person["area"] == pytest.approx(person["bbox"][2] * person["bbox"][3], abs=0.01)
    assert person["keypoints"][2::3] == [0] + [2] * 15  # a confidence of 0 is not visible
    assert person["num_keypoints"] == 15
    again = truth.loadRes(truth.dataset["annotations"])
    assert len(again.getAnnIds()) == 8
    assert again.loadAnns([1])[0]["keypoints"] == person["keypoints"]


def test_predictions_as_labels_have_the_same_pixels(written: Path, photos: Path):
    data = CocoKeypoints("", annotations=str(written), box="image")
    data.prepare()
    content = json.loads(written.read_text())["annotations"]
    for i, sample in enumerate(open_footage(str(photos)).samples):
        assert data.is_upright(i)
        np.testing.assert_array_equal(data[i].image, sample.image)
        np.testing.assert_allclose(data[i].keypoints_px, np.reshape(content[i]["keypoints"], (-1, 3))[:, :2])
        assert data[i].visibility.tolist() == [0] + [2] * 15


def test_predictions_as_boxes_have_the_same_pixels(written: Path, photos: Path):
    whole = list(open_footage(str(photos)).samples)
    boxed = list(open_footage(str(photos), boxes=str(written)).samples)
    content = json.loads(written.read_text())["annotations"]
    for plain, sample, person in zip(whole, boxed, content, strict=True):
        np.testing.assert_array_equal(plain.image, sample.image)
        middle = sample.box_px[:2] + sample.box_px[2:] / 2
        left, top, width, height = person["bbox"]
        np.testing.assert_allclose(middle, [left + width / 2, top + height / 2], atol=0.01)


@pytest.mark.parametrize("stored", [True, False])
def test_predictions_evaluated_against_themselves_are_correct(
    written: Path, photos: Path, tmp_path: Path, stored: bool
):
    """Labels may also be in the pixels of stored images."""
    content = json.loads(written.read_text())
    for image, person in zip(content["images"], content["annotations"], strict=True):
        header = read_image_header(image["file_name"])
        assert header is not None
        if stored:
            rows = np.reshape(person["keypoints"], (-1, 3)).astype(float)
            rows[:, :2] = orient_points(rows[:, :2], header, back=True)
            person["keypoints"] = rows.ravel().tolist()
            image["width"], image["height"] = header.size(upright=False)
    content["info"] = {} if stored else content["info"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = CocoKeypoints("", annotations=str(tmp_path / "labels.json"), box="image")
    data.prepare()
    names = [data[i].name for i in range(len(data))]
    found = match_predictions(read_predictions(written, BODY16), names, data.image_ids)
    found = orient_predictions(found, names, [data.is_upright(i) for i in range(len(data))], written)
    predicted = np.stack([person.keypoints_px for person in found])
    truth = np.stack([data[i].keypoints_px for i in range(len(data))])
    np.testing.assert_allclose(predicted, truth, atol=1e-4)
    assert evaluate(predicted, data, "strict", 64)["pck@0.05"]["all"] == 1


def test_predictions_as_evidence_have_the_same_pixels(written: Path, photos: Path):
    file = KeypointFile(written)
    frames = open_frames(str(photos))
    file.check(frames.paths)
    content = json.loads(written.read_text())["annotations"]
    wrist = BODY16.index("left_wrist")
    for shown, person in zip(frames, content, strict=True):
        ((evidence,),) = file.find_people([shown])
        joint = JOINTS49.index("left_wrist")
        np.testing.assert_allclose(
            evidence.keypoints_px[joint], person["keypoints"][3 * wrist : 3 * wrist + 2], atol=0.01
        )
        assert evidence.confidence[joint] == pytest.approx(person["keypoint_scores"][wrist])


def test_non_finite_keypoints_are_written_as_missing():
    nan = float("nan")
    person = PredictedPerson("a.jpg", [[nan, 1.0]] + [[2.0, 3.0]] * 15, [0.5] * 15 + [nan], [0, 0, 4, 5], (4, 5))
    (written,) = build_coco([person], BODY16)["annotations"]
    assert written["keypoints"][:3] == [0, 0, 0]
    assert written["keypoints"][-3:] == [2, 3, 0]
    assert written["num_keypoints"] == 14
    assert json.loads(json.dumps(written, allow_nan=False)) == written

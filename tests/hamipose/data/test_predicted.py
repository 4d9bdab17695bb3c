"""Predictions as pseudo-labels of a target: matching by file name and box, pixel coordinates, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.data import CocoKeypoints, DomainAdaptation, ImageFolder, ImagePersonCrops, PredictedKeypoints, Unlabeled
from hamipose.data.predicted import read_predictions
from hamipose.data.sampling import BatchPosition, Pool, TrainingDataset, collate_training
from hamipose.data.views import Views
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.methods.parts.keypoint_labels import move_keypoints
from hamipose.skeletons import BODY16, COCO17
from hamipose.types import PredictedSample, Sample


def predictions(dots: Path, path: Path, **changes: object) -> Path:
    """Write the true positions of the dark dots as predictions with different scores."""
    content = json.loads((dots / "dark/annotations.json").read_text())
    for number, annotation in enumerate(content["annotations"]):
        annotation["keypoint_scores"] = [(number + k + 1) / 40 for k in range(16)]
    content.update(changes)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def file(dots: Path, tmp_path: Path) -> Path:
    return predictions(dots, tmp_path / "predictions.json")


def test_each_image_gets_its_own_prediction(dots: Path, file: Path):
    truth = CocoKeypoints(str(dots / "dark"), box="image")
    carried = PredictedKeypoints(ImageFolder(str(dots / "dark/images")), str(file))
    carried.prepare()
    assert len(carried) == len(truth)
    for number in (0, 7, 15):
        sample = carried[number]
        assert isinstance(sample, PredictedSample)
        assert not isinstance(sample, Sample)
        assert not hasattr(sample, "keypoints_px")
        np.testing.assert_allclose(sample.pseudo_keypoints_px, truth[number].keypoints_px, atol=1e-3)
        np.testing.assert_allclose(sample.pseudo_scores, (number + np.arange(16) + 1) / 40, atol=1e-6)


def test_predictions_follow_reduced_images(tmp_path: Path):
    import cv2

    (tmp_path / "images").mkdir()
    image = np.zeros((256, 256, 3), np.uint8)
    cv2.circle(image, (200, 60), 12, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "images/a.jpg"), image)
    points = np.full((16, 2), (200.0, 60.0))
    points[0] = (30, 220)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "bbox": [0, 0, 256, 256],
                "keypoints": np.column_stack([points, np.ones(16)]).ravel().tolist(),
            }
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(BODY16.keypoints)}],
    }
    (tmp_path / "p.json").write_text(json.dumps(content))
    boxes = {**content, "annotations": [{"id": 1, "image_id": 1, "bbox": [0, 0, 256, 256]}]}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    for inner in (
        ImageFolder(str(tmp_path / "images")),
        ImagePersonCrops(str(tmp_path / "images"), str(tmp_path / "boxes.json")),
        Unlabeled(CocoKeypoints(str(tmp_path), "p.json")),
    ):
        carried = PredictedKeypoints(inner, str(tmp_path / "p.json"))
        for side, reduction in ((0, 1), (64, 4)):
            carried.decode_side = side
            sample = carried[0]
            assert sample.reduction == reduction
            assert sample.image.shape[0] == 256 // reduction
            bright = np.argwhere(sample.image[..., 0] > 128).mean(0)[::-1]
            np.testing.assert_allclose(sample.pseudo_keypoints_px[1], bright, atol=0.5)


def test_prediction_is_matched_by_box(dots: Path, tmp_path: Path):
    def person(left: float, score: float) -> dict:
        points = np.column_stack([np.linspace(left, left + 8, 16), np.linspace(5, 40, 16), np.full(16, score)])
        return {"image_id": 0, "keypoints": points.ravel().tolist()}

    content = json.loads((dots / "dark/annotations.json").read_text())
    boxes = {
        **content,
        "annotations": [{"id": i, "image_id": 0, "bbox": [x, 4, 12, 38]} for i, x in enumerate((30, 2))],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    path = predictions(dots, tmp_path / "two.json", annotations=[person(3, 0.5), person(31, 0.7)])
    people = ImagePersonCrops(str(dots / "dark/images"), str(tmp_path / "boxes.json"), margin=1.1)
    carried = PredictedKeypoints(people, str(path))
    assert [carried[i].pseudo_scores[0] for i in (0, 1)] == pytest.approx([0.7, 0.5])
    # People without a prediction have no label.
    path = predictions(dots, tmp_path / "one.json", annotations=[person(3, 0.5)])
    assert PredictedKeypoints(people, str(path))[0].pseudo_scores.max() == 0


@pytest.mark.parametrize(
    ("thirds", "score", "expected"),
    [
        ([2, 1, 0], 0.4, [0.4, 0.4, 0]),  # flags and a person score
        ([2, 2, 2], None, [1, 1, 1]),
        ([0.9, 0.2, 0.0], 0.4, [0.9, 0.2, 0.0]),  # scores
        ([0.0, 1.7, 0.3], None, [0, 1, 0.3]),
    ],
)
def test_scores_of_different_formats_are_read(tmp_path: Path, thirds, score, expected):
    names = ["left_hip", "right_hip", "nose"]  # BODY16 has two of them
    annotation = {"image_id": 1, "keypoints": [v for i, s in enumerate(thirds) for v in (10 * i, 5, s)]}
    annotation |= {} if score is None else {"score": score}
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation],
        "categories": [{"id": 1, "keypoints": names}],
    }
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    (person,) = read_predictions(path, COCO17)
    assert [person.scores[COCO17.index(n)] for n in names] == pytest.approx(expected)
    assert (person.scores > 0).sum() == sum(v > 0 for v in expected)
    (person,) = read_predictions(path, BODY16)
    assert person.keypoints_px[BODY16.index("right_hip")].tolist() == [10, 5]
    assert person.scores[BODY16.index("head")] == 0


def test_unusable_predictions_are_rejected(dots: Path, tmp_path: Path, file: Path):
    folder = ImageFolder(str(dots / "dark/images"))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    for name, says in (
        ("nothing.json", "cannot be read"),
        ("broken.json", "not valid JSON"),
        ("list.json", "is a list of results"),
    ):
        with pytest.raises(UserError, match=says):
            PredictedKeypoints(folder, str(tmp_path / name)).prepare()
    other = predictions(dots, tmp_path / "other.json", images=[{"id": i, "file_name": f"x{i}.png"} for i in range(16)])
    with pytest.raises(UserError, match=r"none of 8 checked images.*x0.png"):
        PredictedKeypoints(folder, str(other)).prepare()
    short = predictions(dots, tmp_path / "short.json", annotations=[{"id": 7, "image_id": 0, "keypoints": [1, 2, 1]}])
    with pytest.raises(UserError, match=r"has no person .*annotation \(7\)"):
        PredictedKeypoints(folder, str(short)).prepare()
    empty = predictions(dots, tmp_path / "empty.json", annotations=[])
    with pytest.raises(UserError, match="no person"):
        PredictedKeypoints(folder, str(empty)).prepare()


def test_ambiguous_file_names_are_rejected(dots: Path, tmp_path: Path, file: Path):
    import shutil

    for part in ("a", "b"):
        shutil.copytree(dots / "dark/images", tmp_path / "all" / part)
    carried = PredictedKeypoints(ImageFolder(str(tmp_path / "all")), str(file))
    with pytest.raises(UserError, match=r"may be .*a/0000.png or .*b/0000.png"):
        _ = [carried[i] for i in range(len(carried))]


def test_labeled_sets_are_rejected(dots: Path, file: Path):
    labeled = CocoKeypoints(str(dots / "dark"), box="image")
    with pytest.raises(UserError, match="CocoKeypoints, which has annotations"):
        PredictedKeypoints(labeled, str(file))
    light = CocoKeypoints(str(dots / "light"), box="image")
    carried = PredictedKeypoints(Unlabeled(labeled), str(file))
    with pytest.raises(UserError, match=r"1 of 2 sets of data.target"):
        DomainAdaptation(light, [carried, Unlabeled(labeled)], image_size=32, batch_size=4)
    with pytest.raises(UserError, match=r"data.target has the keypoints of coco17"):
        DomainAdaptation(light, [PredictedKeypoints(Unlabeled(labeled), str(file), "coco17")], image_size=32)


def test_batch_has_predictions_in_crop_and_student_view(dots: Path, file: Path):
    truth = CocoKeypoints(str(dots / "dark"), box="image")
    views = Views(rotation_deg=30.0, mirror=0.5, scale=(0.8, 1.2))
    stream = TrainingDataset(
        Pool([CocoKeypoints(str(dots / "light"), box="image")], 0, 0),
        Pool([PredictedKeypoints(Unlabeled(truth), str(file))], 0, 1),
        BODY16.mirror, 8, 32, 0, Views(), views, views,
    )  # fmt: skip
    target = collate_training([stream[BatchPosition(0, i, True)] for i in range(8)]).target
    assert target.pseudo_keypoints_px.dtype == torch.float32
    assert target.student_mirrored.any()
    assert not target.student_mirrored.all()
    moved, scores = move_keypoints(
        target.pseudo_keypoints_px, target.pseudo_scores, target.student_matrix, target.student_mirrored,
        BODY16.mirror, (32, 32),
    )  # fmt: skip
    by_name = {truth[i].name: i for i in range(len(truth))}
    for place, name in enumerate(target.name):
        number = by_name[name]
        points = apply_points(crop_matrix(truth[number].box_px, 32), truth[number].keypoints_px.astype(float))
        np.testing.assert_allclose(target.pseudo_keypoints_px[place], points, atol=1e-3)
        order = BODY16.mirror if target.student_mirrored[place] else list(range(16))
        expected = apply_points(target.student_matrix[place].numpy(), points[order])
        shown = scores[place] > 0
        np.testing.assert_allclose(moved[place][shown], expected[shown.numpy()], atol=1e-2)
        np.testing.assert_allclose(scores[place][shown], (number + np.array(order) + 1)[shown.numpy()] / 40, atol=1e-5)
    plain = collate_training([stream[BatchPosition(0, i, False)] for i in range(8)])
    assert plain.target is None
    assert target.to("cpu").pseudo_scores is not None

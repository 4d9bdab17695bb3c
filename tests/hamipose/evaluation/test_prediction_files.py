"""The verb `evaluate` on prediction files of other systems: scores, matching and error messages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hamipose.cli.evaluate import main
from hamipose.data import CocoKeypoints
from hamipose.errors import UserError
from hamipose.evaluation.prediction_files import ExternalPrediction, match_predictions
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.heatmaps import encode
from hamipose.metrics import PCK, PaperPCK
from hamipose.skeletons import BODY16, COCO17


@pytest.fixture
def guesses(dots: Path) -> np.ndarray:
    """Return predictions some pixels from the ground truth of every image."""
    truth = json.loads((dots / "light/annotations.json").read_text())["annotations"]
    keypoints = np.array([a["keypoints"] for a in truth]).reshape(len(truth), -1, 3)[..., :2]
    return keypoints + np.random.default_rng(0).normal(0, 2.5, keypoints.shape)


def results(keypoints: np.ndarray, **changes) -> list[dict]:
    flat = np.concatenate([keypoints, np.ones_like(keypoints[..., :1])], -1).reshape(len(keypoints), -1)
    return [
        {"image_id": i, "category_id": 1, "keypoints": k.tolist(), "score": 0.5, **changes} for i, k in enumerate(flat)
    ]


def score(dots: Path, tmp_path: Path, content: object, *words: str) -> dict:
    (tmp_path / "found.json").write_text(json.dumps(content))
    where = ["--data", "CocoKeypoints", "--root", str(dots / "light"), "--box", "image", *words]
    main(["--predictions", str(tmp_path / "found.json"), *where, "--out", str(tmp_path / "scores.json")])
    return json.loads((tmp_path / "scores.json").read_text())["scores"]


def score_directly(dots: Path, guesses: np.ndarray, metric: PCK | PaperPCK) -> dict[str, float]:
    dataset = CocoKeypoints(str(dots / "light"), box="image")
    predicted, truth, seen = [], [], []
    for i in range(len(dataset)):
        sample = dataset[i]
        matrix = crop_matrix(sample.box_px, 256)
        keypoints_px, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, 256)
        truth.append(torch.from_numpy(keypoints_px))
        seen.append(torch.from_numpy(visibility))
        predicted.append(torch.from_numpy(apply_points(matrix, guesses[i]).astype(np.float32)))
    found = torch.stack(predicted)
    if isinstance(metric, PaperPCK):
        found = encode(found, (256, 256), quantize=True)
    metric.update(found, torch.stack(truth), torch.stack(seen))
    return {group: float(value) for group, value in metric.compute().items()}


def test_scores_equal_the_metrics(dots, tmp_path, guesses):
    found = score(dots, tmp_path, results(guesses))
    assert 0.2 < found["strict/pck@0.05"]["all"] < 0.8
    assert found["strict/pck@0.05"] == pytest.approx(score_directly(dots, guesses, PCK(BODY16, 0.05)))
    assert found["strict/pck@0.1"] == pytest.approx(score_directly(dots, guesses, PCK(BODY16, 0.1)))
    assert found["paper/pck@0.05"] == pytest.approx(score_directly(dots, guesses, PaperPCK(BODY16, 0.05)))


def test_own_predictions_are_matched_by_file_and_keypoint_name(dots, tmp_path, guesses):
    """Use the format of the verb predict, with other orders of keypoints and people, and another folder."""
    order = np.random.default_rng(1).permutation(len(BODY16))
    annotations = [a | {"image_id": a["image_id"] + 7} for a in results(guesses[:, order])][::-1]
    images = [{"id": i + 7, "file_name": f"/elsewhere/{i:04d}.png"} for i in range(len(guesses))]
    categories = [{"id": 1, "name": "person", "keypoints": [BODY16.keypoints[k] for k in order]}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    assert score(dots, tmp_path, content) == score(dots, tmp_path, results(guesses))


def test_results_use_the_keypoint_order_of_the_data_set(dots, tmp_path, guesses):
    """The same names in another order, and the person is not the first category."""
    light = tmp_path / "set"
    shutil.copytree(dots / "light", light)
    content = json.loads((light / "annotations.json").read_text())
    order = np.random.default_rng(2).permutation(len(BODY16))
    people = {"id": 5, "name": "person", "keypoints": [BODY16.keypoints[k] for k in order]}
    content["categories"] = [{"id": 1, "name": "dog", "keypoints": list(BODY16.keypoints)}, people]
    for person in content["annotations"]:
        person["category_id"] = 5
        person["keypoints"] = np.reshape(person["keypoints"], (-1, 3))[order].ravel().tolist()
    (light / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps(results(guesses[:, order], category_id=5)))
    where = ["--data", "CocoKeypoints", "--root", str(light), "--box", "image", "--out", str(tmp_path / "scores.json")]
    main(["--predictions", str(tmp_path / "found.json"), *where])
    found = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert found == score(dots, tmp_path, results(guesses))


def test_evaluate_rejects_sets_without_headline_labels(dots, tmp_path, guesses):
    light = tmp_path / "set"
    shutil.copytree(dots / "light", light)
    content = json.loads((light / "annotations.json").read_text())
    for person in content["annotations"]:
        rows = np.reshape(person["keypoints"], (-1, 3))
        rows[[k not in ("head", "neck") for k in BODY16.keypoints], 2] = 0
        person["keypoints"] = rows.ravel().tolist()
    (light / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps(results(guesses)))
    with pytest.raises(UserError, match="of the 24 people is labeled inside its crop, so there is nothing to score"):
        main(["--predictions", str(tmp_path / "found.json"), "--data", "CocoKeypoints", "--root", str(light)])


def test_keypoints_without_predictions_are_omitted(dots, tmp_path, guesses):
    """COCO's 17 have all limb joints, but neither head nor neck."""
    places = [BODY16.keypoints.index(k) if k in BODY16.keypoints else 0 for k in COCO17.keypoints]
    found = score(dots, tmp_path, results(guesses[:, places]), "--keypoints", "coco17")
    whole = score(dots, tmp_path, results(guesses))
    assert found["strict/pck@0.05"] == {g: v for g, v in whole["strict/pck@0.05"].items() if g != "head"}


def error_message(dots: Path, tmp_path: Path, content: object, *words: str) -> str:
    with pytest.raises(UserError) as error:
        score(dots, tmp_path, content, *words)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_evaluate_rejects_missing_images(dots, tmp_path, guesses):
    message = error_message(dots, tmp_path, results(guesses)[2:])
    assert "2 of 24 images have no prediction, first 0000.png" in message
    others = [a | {"image_id": a["image_id"] + 1000} for a in results(guesses)]
    assert "24 predictions are for other images" in error_message(dots, tmp_path, others)


def test_evaluate_rejects_another_number_of_keypoints(dots, tmp_path, guesses):
    message = error_message(dots, tmp_path, results(guesses[:, :14]))
    assert "24 results (number 0, number 1, number 2, …): has 42 numbers in keypoints instead of 48" in message
    assert "--keypoints" in message
    torn = results(guesses)
    torn[3]["keypoints"] = torn[3]["keypoints"][:-1]
    assert "1 of 24 images have no prediction, first 0003.png" in error_message(dots, tmp_path, torn)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "contain no usable people"),
        ({"annotations": []}, "lacks images"),
        ([{"keypoints": [1, 2, 3] * 16}], "(number 0): has no image_id"),
        ("text", "contains 'text'"),
    ],
)
def test_evaluate_rejects_other_files(dots, tmp_path, content, message):
    assert message in error_message(dots, tmp_path, content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": ["left", "right", "up"] * 16}, "keypoints is not a list of numbers"),
        ({"keypoints": None}, "has no keypoints"),
        ({"keypoints": [1, [2], 3]}, "keypoints is not a list of numbers"),
        ({"score": "high"}, "its score is not a number"),
        ({"image_id": [2]}, "has no image_id"),
    ],
)
def test_unusable_results_are_skipped_and_named(dots, tmp_path, guesses, changes, message, caplog):
    content = results(guesses)
    content[2] |= changes
    assert "1 of 24 images have no prediction, first 0002.png" in error_message(dots, tmp_path, content)
    assert f"skipped 1 result (number 2): {message}" in caplog.text


def test_evaluate_rejects_malformed_images_and_categories(dots, tmp_path, guesses):
    whole = {"images": [{"id": i, "file_name": f"{i:04d}.png"} for i in range(24)], "annotations": results(guesses)}
    for changes, message in (
        ({"images": [{"id": 0}]}, "has no file_name"),
        ({"images": 3}, "lacks images"),
        ({"images": ["0000.png"]}, "has no id"),
        ({"categories": [3]}, "names no keypoints"),
    ):
        assert message in error_message(dots, tmp_path, whole | changes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "0"], "--image-size: 0 is too small"),
        (["--threshold", "0"], "--threshold is 0; it must be above 0"),
    ],
)
def test_evaluate_rejects_invalid_sizes_and_thresholds(dots, tmp_path, guesses, words, message):
    assert message in error_message(dots, tmp_path, results(guesses), *words)


def test_table_shows_row_names_in_eighty_columns(dots, tmp_path, guesses, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    found = score(dots, tmp_path, results(guesses))
    lines = [line for line in capsys.readouterr().out.splitlines() if "/pck@" in line]
    assert [line.split("│")[1].strip() for line in lines] == list(found)
    for line, values in zip(lines, found.values(), strict=True):
        assert f"{100 * values['all']:.1f}" in line
        assert f"{100 * values['ankle']:.1f}" in line


def test_folder_name_may_contain_a_number_sign(dots, tmp_path, guesses):
    light = tmp_path / "a#b"
    shutil.copytree(dots / "light", light)
    (tmp_path / "found.json").write_text(json.dumps(results(guesses)))
    main(["--predictions", str(tmp_path / "found.json"), "--data", "CocoKeypoints", "--root", str(light)])


def test_options_of_the_data_set_are_checked(dots, tmp_path, guesses):
    assert "--splt is neither an option of the verb nor of CocoKeypoints" in error_message(
        dots, tmp_path, results(guesses), "--splt", "test"
    )
    with pytest.raises(UserError, match="--data is Nothing"):
        main(["--predictions", "x.json", "--data", "Nothing"])
    with pytest.raises(UserError, match="cannot be read"):
        main(["--predictions", str(tmp_path / "none.json"), "--data", "CocoKeypoints", "--root", str(dots / "light")])


def person(image: int | str, x: float, score: float = 1.0) -> ExternalPrediction:
    return ExternalPrediction(image, np.full((2, 2), x), score)


def first_x(found: list[ExternalPrediction], names: list[str], ids: dict[int | str, str] | None = None) -> list[float]:
    return [float(one.keypoints_px[0, 0]) for one in match_predictions(found, names, ids)]


def test_best_prediction_of_an_image_with_one_person_is_used():
    found = [person("a.jpg", 1.0, 0.2), person("a.jpg", 2.0, 0.9), person("b.jpg", 3.0)]
    assert first_x(found, ["x/a.jpg", "x/b.jpg"]) == [2.0, 3.0]


def test_people_of_one_image_are_matched_by_order():
    names = ["x#1/a.jpg#5", "x#1/b.jpg#6", "x#1/a.jpg#7"]
    found = [person("b.jpg", 3.0), person("a.jpg", 1.0, 0.1), person("a.jpg", 2.0, 0.9)]
    assert first_x(found, names) == [1.0, 3.0, 2.0]
    with pytest.raises(UserError, match=r"a.jpg has 2 labeled people and 1 predictions"):
        match_predictions(found[:2], names)


def test_numbers_match_file_names_or_positions():
    found = [person(1002, 2.0), person(1001, 1.0)]
    assert first_x(found, ["lsp/im1001.jpg", "lsp/im1002.jpg"]) == [1.0, 2.0]
    assert first_x([person(1, 2.0), person(0, 1.0)], ["anna.jpg", "bert.jpg"]) == [1.0, 2.0]
    ids = {77: "f/bert.jpg", "c-d": "f/anna.jpg"}
    assert first_x([person(77, 2.0), person("c-d", 1.0)], ["f/anna.jpg", "f/bert.jpg"], ids) == [1.0, 2.0]


def test_files_with_the_same_name_are_matched_by_folder():
    found = [person("/data/run1/0.jpg", 2.0), person("\\\\host\\run0\\0.jpg", 1.0)]
    assert first_x(found, ["here/run0/0.jpg", "here/run1/0.jpg"]) == [1.0, 2.0]
    with pytest.raises(UserError, match=r"'0.jpg' matches here/run0/0.jpg or here/run1/0.jpg"):
        match_predictions([person("0.jpg", 1.0)], ["here/run0/0.jpg", "here/run1/0.jpg"])
    with pytest.raises(UserError, match="matches"):  # two names for one image
        match_predictions([person("a/0.jpg", 1.0), person("b/0.jpg", 1.0)], ["0.jpg"])

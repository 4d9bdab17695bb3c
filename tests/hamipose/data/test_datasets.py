"""COCO folders, folders of images, and labeled sets without their labels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data import CocoKeypoints, ImageFolder, Unlabeled
from hamipose.data.base import KeypointDataset, UnlabeledDataset
from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17
from hamipose.types import Sample, UnlabeledSample


def write_image(path: Path, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))


def triples() -> list[int]:
    """Write a folder with keypoint k at (k, 2 k), hidden for odd k."""
    return [value for k in range(17) for value in (k, 2 * k, 2 - k % 2)]


def coco(root: Path, **changes: object) -> Path:
    write_image(root / "images" / "a.jpg", 80, 60)
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 80, "height": 60}],
        "annotations": [
            {"id": 3, "image_id": 7, "bbox": [10, 20, 30, 40], "keypoints": triples(), "num_keypoints": 17},
            {"id": 4, "image_id": 7, "bbox": [0, 0, 9, 9], "keypoints": [0] * 51, "num_keypoints": 0},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
        **changes,
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_coco_keypoints_are_matched_by_name(tmp_path: Path):
    dataset = CocoKeypoints(str(coco(tmp_path)))
    dataset.prepare()
    assert len(dataset) == 1  # people without a labeled keypoint are skipped
    sample = dataset[0]
    wrist = COCO17.index("left_wrist")
    assert sample.keypoints_px[BODY16.index("left_wrist")].tolist() == [wrist, 2 * wrist]
    assert sample.visibility[BODY16.index("left_wrist")] == 1
    assert sample.visibility[BODY16.index("right_wrist")] == 2
    assert sample.visibility[BODY16.index("thorax")] == 0
    assert sample.box_px.tolist() == [10 - 3.75, 20 - 5, 37.5, 50]
    assert sample.name == f"{tmp_path}/images/a.jpg#3"
    assert CocoKeypoints(str(tmp_path), box="image")[0].box_px.tolist() == [0, 0, 80, 60]


def test_non_numeric_ids_are_replaced_by_the_index(tmp_path: Path):
    """A name ends in # and a number, which separates it from the image name."""
    people = [{"id": "anna", "image_id": 7, "bbox": [10, 20, 30, 40], "keypoints": [1] * 51}]
    assert CocoKeypoints(str(coco(tmp_path, annotations=people)))[0].name == f"{tmp_path}/images/a.jpg#0"


def test_large_images_are_decoded_reduced(tmp_path: Path):
    coco(tmp_path)
    full, reduced = CocoKeypoints(str(tmp_path)), CocoKeypoints(str(tmp_path))
    reduced.decode_side = 16
    a, b = full[0], reduced[0]
    assert b.image.shape == (30, 40, 3)
    assert np.allclose((b.keypoints_px + 0.5) * 2 - 0.5, a.keypoints_px)
    assert np.allclose(b.box_px * 2, a.box_px)


def test_malformed_coco_files_are_rejected(tmp_path: Path):
    def error(**changes: object) -> str:
        with pytest.raises(UserError) as error:
            CocoKeypoints(str(coco(tmp_path, **changes))).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    short = [{"id": 3, "image_id": 7, "keypoints": [1, 1, 2]}]
    assert "1 annotation (3): has 3 numbers in keypoints instead of 51" in error(annotations=short)
    assert "not an image of the file" in error(annotations=[{"id": 3, "image_id": 8, "keypoints": [1] * 51}])
    assert "names no keypoints" in error(categories=[])
    assert "beak, tail…, none of which" in error(categories=[{"keypoints": ["beak", "tail"]}])
    assert "has 0 annotations" in error(annotations=[])
    person = {"id": 3, "image_id": 7, "bbox": [10, 20, 30, 40], "keypoints": [1] * 51}
    assert "1 image (7): has no file_name" in error(images=[{"id": 7}])
    assert "is not an object" in error(annotations=[3])
    assert "categories of" in error(categories=3)
    assert "not a list of numbers" in error(annotations=[person | {"keypoints": ["x"] * 51}])
    for box in ([10, 20], [10, 20, 0, 40], [10, 20, 30, "forty"], [10, 20, 30, float("nan")]):
        assert "1 annotation (3): bbox " in error(annotations=[person | {"bbox": box}])
    assert "has no keypoints" in error(annotations=[person | {"keypoints": None}])
    (tmp_path / "annotations.json").write_text("[]")
    with pytest.raises(UserError, match="list of results"):
        CocoKeypoints(str(tmp_path)).prepare()
    (tmp_path / "annotations.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        CocoKeypoints(str(tmp_path)).prepare()
    with pytest.raises(UserError, match="cannot be read"):
        CocoKeypoints(str(tmp_path / "nowhere")).prepare()
    with pytest.raises(UserError, match="skeleton is 'body', expected one of"):
        CocoKeypoints(str(tmp_path), skeleton="body")


def test_image_folder_lists_images(tmp_path: Path):
    for name in ("b/2.png", "a/1.jpg"):
        write_image(tmp_path / name, 64, 32)
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = ImageFolder(str(tmp_path))
    assert [Path(dataset[i].name).name for i in range(len(dataset))] == ["1.jpg", "2.png"]
    assert dataset[0].box_px.tolist() == [0, 0, 64, 32]
    dataset.decode_side = 16
    assert dataset[0].image.shape == (8, 16, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no image"):
        ImageFolder(str(tmp_path / "empty")).prepare()
    with pytest.raises(UserError, match="does not exist"):
        ImageFolder(str(tmp_path / "nowhere")).prepare()


def test_unlabeled_removes_labels(dots: Path):
    labeled = CocoKeypoints(str(dots / "light"))
    target = Unlabeled(labeled)
    assert isinstance(target, UnlabeledDataset)
    assert not isinstance(target, KeypointDataset)
    assert isinstance(target, Unlabeled)
    sample = target[0]
    assert type(sample) is UnlabeledSample
    assert not isinstance(sample, Sample)
    assert np.array_equal(sample.image, labeled[0].image)
    assert len(target) == len(labeled)


def test_cached_image_is_read_once(dots: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = CocoKeypoints(str(dots / "light"), cache=True)
    before = dataset[0].image
    monkeypatch.setattr("hamipose.data.base.read_image", lambda *_: pytest.fail("read again"))
    assert np.array_equal(dataset[0].image, before)

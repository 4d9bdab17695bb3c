import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.inference.footage import open_footage
from hamipose.inference.predictor import Predictor
from hamipose.inference.writers import OverlayWriter, write_coco, write_csv
from hamipose.skeletons import BODY16


def test_coco_file_is_readable_as_a_data_set(model: Predictor, image_folder: Path, tmp_path: Path):
    found = list(model.stream(open_footage(str(image_folder)).samples))
    for person in found:
        person.confidence[:] = 0.5  # an untrained network has low confidences
    write_coco(tmp_path / "found.json", found, model.skeleton)
    again = CocoKeypoints(root=str(image_folder), annotations=str(tmp_path / "found.json"), skeleton="body16")
    assert len(again) == 3
    for i, person in enumerate(found):
        np.testing.assert_allclose(again[i].keypoints_px, person.keypoints_px, atol=0.006)


def test_csv_has_a_row_per_keypoint(model: Predictor, image_folder: Path, tmp_path: Path):
    found = model.predict(sorted(image_folder.iterdir()))
    write_csv(tmp_path / "found.csv", found, BODY16)
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 16
    assert rows[16 + BODY16.index("head")]["keypoint"] == "head"
    assert float(rows[16]["x_px"]) == pytest.approx(found[1].keypoints_px[0, 0], abs=0.006)


def test_people_of_an_image_are_drawn_on_it(model: Predictor, image_folder: Path, tmp_path: Path):
    (sample,) = open_footage(str(image_folder / "p0.png")).samples
    (person,) = model.stream([sample])
    with OverlayWriter(tmp_path, BODY16, min_confidence=-1.0) as overlays:
        for number in range(2):
            overlays.add(sample, replace(person, name=f"{image_folder / 'p0.png'}#{number}"))
    assert overlays.written == 1
    (path,) = (tmp_path / "overlays").iterdir()
    drawn = cv2.imread(str(path))
    assert np.abs(drawn.astype(int) - cv2.imread(str(image_folder / "p0.png"))).max() > 60


@pytest.mark.parametrize("numbered", [False, True])
def test_people_are_drawn_on_reopened_footage(model: Predictor, image_folder: Path, tmp_path: Path, numbered: bool):
    """A detector during prediction numbers the people, but the footage only contains images."""
    footage = open_footage(str(image_folder))
    found = [
        replace(person, name=f"{person.name}#{number}")
        for person in model.stream(footage.samples)
        for number in range(2 if numbered else 1)
    ]
    if not numbered:
        found = [replace(person, name=person.name.removesuffix("#0")) for person in found]
    assert footage.reopen is not None
    with OverlayWriter(tmp_path, BODY16, min_confidence=-1.0) as overlays:
        overlays.add_all(footage.reopen(), found)
    assert overlays.written == 3
    assert len(list((tmp_path / "overlays").iterdir())) == 3


def test_overlay_video_has_all_frames(model: Predictor, clip: Path, tmp_path: Path):
    footage = open_footage(str(clip))
    with OverlayWriter(tmp_path, BODY16, rate=footage.rate) as overlays:
        for sample in footage.samples:
            overlays.add(sample, next(model.stream([sample])))
    again = open_footage(str(tmp_path / "overlay.mp4"))
    assert again.count == 7
    assert again.rate == pytest.approx(10)

"""Damaged COCO files give one-line errors in every command that reads them."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hamipose.cli import main as hamipose
from hamipose.inference import loading
from hamipose.skeletons import BODY16
from meshtto.cli import main as meshtto
from meshtto.predict import files
from meshtto.predict import model as mesh_model
from tests.helpers.checkpoints import save_mesh_checkpoint, save_pose_folder
from tests.helpers.fuzzing import Failures, damage_json, seeded_generators

SIDE = 32

#: Options of `evaluate` for one score on small crops.
_SHORT = ["--protocol", "strict", "--threshold", 0.1, "--image-size", SIDE]


def write_coco(root: Path) -> dict[str, Any]:
    """Write three small images with four people; return a file usable as labels, predictions, boxes and evidence."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(root / "images" / f"p{number}.png"), rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    people = []
    for person, image in enumerate((0, 0, 1, 2)):
        points = rng.uniform(2, SIDE - 2, (len(BODY16), 2)).round(2)
        people.append(
            {
                "id": person + 1,
                "image_id": image,
                "category_id": 1,
                "bbox": [2, 3, 20, 24],
                "area": 480,
                "iscrowd": 0,
                "score": 0.9,
                "num_keypoints": len(BODY16),
                "keypoints": np.column_stack([points, np.full(len(BODY16), 2)]).ravel().tolist(),
            }
        )
    images = [{"id": i, "file_name": f"p{i}.png", "width": SIDE, "height": SIDE} for i in range(3)]
    categories = [{"id": 1, "name": "person", "keypoints": list(BODY16.keypoints), "skeleton": []}]
    return {"info": {"year": 2024}, "images": images, "annotations": people, "categories": categories}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Write the folder with its valid file."""
    root = tmp_path_factory.mktemp("fuzzing")
    content = write_coco(root)
    (root / "valid.json").write_text(json.dumps(content))
    return root, content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Save a pose model and a mesh model."""
    folder = tmp_path_factory.mktemp("models")
    return save_pose_folder(folder / "pose"), save_mesh_checkpoint(folder / "mesh.ckpt")


@pytest.fixture
def failures(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Failures:
    """Load the networks only once."""
    for module, name in ((loading, "load"), (mesh_model, "open_method")):
        monkeypatch.setattr(module, name, functools.lru_cache(getattr(module, name)))
    return Failures(capfd)


@pytest.mark.slow
def test_damaged_annotations_give_one_line_errors(
    world: tuple[Path, dict[str, Any]], failures: Failures, tmp_path: Path
):
    root, content = world
    out = tmp_path / "scores.json"
    for number, rng in seeded_generators("annotations", 700):
        (root / "wrong.json").write_bytes(damage_json(rng, content))
        out.unlink(missing_ok=True)
        words = ["--data", "CocoKeypoints", "--root", root, "--annotations", "wrong.json", "--out", out, *_SHORT]
        failures.run(hamipose, ["evaluate", "--predictions", root / "valid.json", *words], number)
        failures.check_files(tmp_path, number)
    failures.check(minimum=20)


@pytest.mark.slow
def test_damaged_predictions_give_one_line_errors(
    world: tuple[Path, dict[str, Any]], failures: Failures, tmp_path: Path
):
    root, content = world
    out = tmp_path / "scores.json"
    results = [{k: a[k] for k in ("image_id", "category_id", "keypoints", "score")} for a in content["annotations"]]
    for number, rng in seeded_generators("predictions", 700):
        (tmp_path / "wrong.json").write_bytes(damage_json(rng, content if number % 2 else results))
        out.unlink(missing_ok=True)
        words = ["--data", "CocoKeypoints", "--root", root, "--annotations", "valid.json", "--out", out, *_SHORT]
        failures.run(hamipose, ["evaluate", "--predictions", tmp_path / "wrong.json", *words], number)
        (tmp_path / "wrong.json").unlink()
        failures.check_files(tmp_path, number)
    failures.check(minimum=20)


@pytest.mark.slow
def test_damaged_boxes_give_one_line_errors(
    world: tuple[Path, dict[str, Any]], models: tuple[Path, Path], failures: Failures, tmp_path: Path
):
    root, content = world
    boxes, out = tmp_path / "boxes.json", tmp_path / "out"
    for number, rng in seeded_generators("boxes", 350):
        boxes.write_bytes(damage_json(rng, content))
        words = ["--checkpoint", models[0], "--boxes", boxes, "--out", out, "--device", "cpu", "--no-overlays"]
        status = failures.run(hamipose, ["predict", root / "images", *words], number)
        failures.check_files(out, number)
        if status == 2 and (out / "predictions.json").exists():
            failures.add("status 2 with predictions.json", number)
        shutil.rmtree(out, ignore_errors=True)
    failures.check(minimum=20)


@pytest.mark.slow
def test_damaged_evidence_gives_one_line_errors(
    world: tuple[Path, dict[str, Any]],
    models: tuple[Path, Path],
    failures: Failures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    root, content = world
    openpose = {
        "version": 1.3,
        "people": [
            {"person_id": [-1], "pose_keypoints_2d": [round(3 + 0.3 * i, 2) for i in range(75)]} for _ in range(2)
        ],
    }
    monkeypatch.setattr(files, "write_mesh", lambda *_: None)  # takes most of the time
    keypoints, out = tmp_path / "keypoints.json", tmp_path / "out"
    for number, rng in seeded_generators("evidence", 250):
        keypoints.write_bytes(damage_json(rng, content if number % 3 else openpose))
        words = ["--checkpoint", models[1], "--keypoints", keypoints, "--out", out, "--device", "cpu"]
        words += ["--steps", int(number % 5 == 0), "--no-images"]
        status = failures.run(meshtto, ["predict", root / "images" / "p0.png", *words], number)
        failures.check_files(out, number)
        if status == 2 and any(out.rglob("*.npz")):
            failures.add("status 2 with results", number)
        shutil.rmtree(out, ignore_errors=True)
    failures.check(minimum=10)

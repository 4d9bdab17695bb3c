"""COCO files that went wrong, through every command that reads one: annotations, predictions, boxes, evidence."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hamipose.cli import main as hamipose
from hamipose.inference import predictor
from hamipose.skeletons import BODY16
from meshtto.cli import main as meshtto
from meshtto.predict import files
from meshtto.predict import model as mesh_model
from tests.helpers.checkpoints import save_mesh_checkpoint, save_pose_folder
from tests.helpers.fuzzing import Failures, damage_json, seeded_generators

SIDE = 32

#: Of `evaluate`: one score, of small crops.
_SHORT = ["--protocol", "strict", "--threshold", 0.1, "--image-size", SIDE]


def coco(root: Path) -> dict[str, Any]:
    """Three small pictures with four people: annotations, predictions, boxes and evidence in one file."""
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
    """The folder with its sound file."""
    root = tmp_path_factory.mktemp("fuzzing")
    content = coco(root)
    (root / "sound.json").write_text(json.dumps(content))
    return root, content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of poses and of meshes."""
    folder = tmp_path_factory.mktemp("models")
    return save_pose_folder(folder / "pose"), save_mesh_checkpoint(folder / "mesh.ckpt")


@pytest.fixture
def faults(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Failures:
    """Networks are loaded once: they are not what is wrong here."""
    for module, name in ((predictor, "load"), (mesh_model, "open_method")):
        monkeypatch.setattr(module, name, functools.lru_cache(getattr(module, name)))
    return Failures(capfd)


@pytest.mark.slow
def test_annotations(world: tuple[Path, dict[str, Any]], faults: Failures, tmp_path: Path):
    root, content = world
    out = tmp_path / "scores.json"
    for number, rng in seeded_generators("annotations", 700):
        (root / "wrong.json").write_bytes(damage_json(rng, content))
        out.unlink(missing_ok=True)
        words = ["--data", "CocoKeypoints", "--root", root, "--annotations", "wrong.json", "--out", out, *_SHORT]
        faults.carry_out(hamipose, ["evaluate", "--predictions", root / "sound.json", *words], number)
        faults.check_whole(tmp_path, number)
    faults.check(least=20)


@pytest.mark.slow
def test_predictions(world: tuple[Path, dict[str, Any]], faults: Failures, tmp_path: Path):
    root, content = world
    out = tmp_path / "scores.json"
    results = [{k: a[k] for k in ("image_id", "category_id", "keypoints", "score")} for a in content["annotations"]]
    for number, rng in seeded_generators("predictions", 700):
        (tmp_path / "wrong.json").write_bytes(damage_json(rng, content if number % 2 else results))
        out.unlink(missing_ok=True)
        words = ["--data", "CocoKeypoints", "--root", root, "--annotations", "sound.json", "--out", out, *_SHORT]
        faults.carry_out(hamipose, ["evaluate", "--predictions", tmp_path / "wrong.json", *words], number)
        (tmp_path / "wrong.json").unlink()
        faults.check_whole(tmp_path, number)
    faults.check(least=20)


@pytest.mark.slow
def test_boxes(world: tuple[Path, dict[str, Any]], models: tuple[Path, Path], faults: Failures, tmp_path: Path):
    root, content = world
    boxes, out = tmp_path / "boxes.json", tmp_path / "out"
    for number, rng in seeded_generators("boxes", 350):
        boxes.write_bytes(damage_json(rng, content))
        words = ["--checkpoint", models[0], "--boxes", boxes, "--out", out, "--device", "cpu", "--no-overlays"]
        status = faults.carry_out(hamipose, ["predict", root / "images", *words], number)
        faults.check_whole(out, number)
        if status == 2 and (out / "predictions.json").exists():
            faults.add("status 2 with predictions.json", number)
        shutil.rmtree(out, ignore_errors=True)
    faults.check(least=20)


@pytest.mark.slow
def test_evidence(
    world: tuple[Path, dict[str, Any]],
    models: tuple[Path, Path],
    faults: Failures,
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
    monkeypatch.setattr(files, "write_mesh", lambda *_: None)  # takes longer than all the rest
    keypoints, out = tmp_path / "keypoints.json", tmp_path / "out"
    for number, rng in seeded_generators("evidence", 250):
        keypoints.write_bytes(damage_json(rng, content if number % 3 else openpose))
        words = ["--checkpoint", models[1], "--keypoints", keypoints, "--out", out, "--device", "cpu"]
        words += ["--steps", int(number % 5 == 0), "--no-pictures"]
        status = faults.carry_out(meshtto, ["predict", root / "images" / "p0.png", *words], number)
        faults.check_whole(out, number)
        if status == 2 and any(out.rglob("*.npz")):
            faults.add("status 2 with results", number)
        shutil.rmtree(out, ignore_errors=True)
    faults.check(least=10)

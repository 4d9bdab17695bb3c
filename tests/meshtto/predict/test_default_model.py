"""The mesh model that ships: its files, `predict` without a checkpoint, and its accuracy on people it never saw."""

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hamipose.errors import UserError
from hamipose.skeletons import COCO17
from meshtto.cli.predict import main
from meshtto.data import BuiltinPoses, Detector
from meshtto.data.sampling import MeshCrops, collate
from meshtto.evaluation.plausibility import judge_poses
from meshtto.joints import JOINTS49
from meshtto.methods.model_folder import SHIPPED
from meshtto.metrics import aligned_joint_errors, joint_errors
from meshtto.predict.model import open_method

ROOT = Path(__file__).parents[3]
FILES = ("config.yaml", "model.safetensors", "MODEL_CARD.md")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> BuiltinPoses:
    """Return people of a seed that was not used for training, as a detector of COCO's keypoints sees them."""
    root = str(tmp_path_factory.mktemp("poses"))
    dataset = BuiltinPoses(count=48, seed=4242, root=root, detector=Detector(skeletons=("coco17",)))
    dataset.prepare()
    return dataset


def test_files_ship():
    assert all((SHIPPED / name).is_file() for name in FILES)
    assert (SHIPPED / "model.safetensors").stat().st_size <= 15e6
    try:
        done = subprocess.run(
            ["git", "check-ignore", *(str(SHIPPED / name) for name in FILES)], cwd=ROOT, capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode == 128:
        pytest.skip("not a clone")
    assert (done.returncode, done.stdout) == (1, ""), "the wheel contains every file that git does not ignore"


def test_predict_needs_no_checkpoint(people: BuiltinPoses, tmp_path: Path, capsys: pytest.CaptureFixture):
    sample = people[0]
    names = [JOINTS49.index(name) for name in COCO17.keypoints]
    rows = np.column_stack([sample.keypoints_px[names], np.full(len(names), 2.0)])
    cv2.imwrite(str(tmp_path / "a.png"), np.full((256, 256, 3), 127, np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "keypoints": rows.ravel().tolist()}],
    }
    (tmp_path / "keypoints.json").write_text(json.dumps(content))
    out = tmp_path / "meshes"
    main([str(tmp_path / "a.png"), "--keypoints", str(tmp_path / "keypoints.json"), "--out", str(out)])
    assert "mesh model: people (Apache-2.0), the one that ships" in capsys.readouterr().out
    with np.load(out / "a-0.npz") as arrays:
        distance = np.linalg.norm(arrays["keypoints_px"][names] - sample.keypoints_px[names], axis=1)
        assert int(arrays["steps"]) > 0
    extent = np.ptp(sample.keypoints_px[names], axis=0).max()
    assert distance.mean() < 0.05 * extent
    assert {"a-overlay.png", "a-0-side.png", "a-0.obj", "a-0.glb", "a-0.json"} <= {path.name for path in out.iterdir()}
    with pytest.raises(UserError, match="reads keypoints, not pixels"):
        main([str(tmp_path / "a.png"), "--no-keypoints", "--out", str(out)])


def test_adaptation_makes_unseen_people_more_accurate(people: BuiltinPoses):
    method = open_method(None, None, "cpu")
    crops = MeshCrops(people, tuple(method.hparams["crop"]))
    batch = collate([crops[i] for i in range(len(people))])
    truth = method.body.evaluation_joints(method.body(batch.rotations, batch.shape).vertices_m)
    errors = []
    for phases in ([], None):
        with torch.no_grad():
            made = method.recover(batch, phases).prediction
        joints = method.body.evaluation_joints(made.vertices_m)
        errors.append([1000 * float(f(joints, truth).mean()) for f in (joint_errors, aligned_joint_errors)])
        assert judge_poses(made.rotations, method.body).implausible.mean() <= 0.2
    assert errors[0][0] < 190, "MPJPE of the model card, and a margin for 48 people"
    assert errors[0][1] < 110
    assert errors[1][0] < errors[0][0]
    assert errors[1][1] < errors[0][1]

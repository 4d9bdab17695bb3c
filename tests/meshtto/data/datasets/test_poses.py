"""People without images: exact labels, reproducible for each person, and a detector of fewer joints."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.body import load_body
from meshtto.data import BuiltinPoses, Detector
from meshtto.data.datasets.poses import draw_people, hidden_joints
from meshtto.joints import JOINTS49

PELVIS = JOINTS49.index("pelvis")


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    return draw_people(range(6), seed=3)


def test_labels_agree(drawn: dict[str, np.ndarray]):
    """Check that pose and shape give the joints, and that one camera projects all joints onto the keypoints."""
    rotations = rotvec_to_rotmat(torch.from_numpy(drawn["pose"].reshape(-1, 24, 3)))
    joints = load_body().joints(rotations, torch.from_numpy(drawn["shape"])).numpy()
    np.testing.assert_allclose(joints - joints[:, [PELVIS]], drawn["joints"], atol=2e-5)
    for points, pixels, focal in zip(drawn["joints"], drawn["keypoints"], drawn["focal_length"], strict=True):
        # u z = f x with x = X + t is linear in the translation t.
        offset = (pixels - 127.5) / focal
        rows = np.zeros((len(points), 2, 3))
        rows[:, 0, 0] = rows[:, 1, 1] = 1.0
        rows[:, :, 2] = -offset
        right = offset * points[:, 2:] - points[:, :2]
        translation = np.linalg.lstsq(rows.reshape(-1, 3), right.reshape(-1), rcond=None)[0]
        seen = points + translation
        np.testing.assert_allclose(focal * seen[:, :2] / seen[:, 2:] + 127.5, pixels, atol=0.02)


def test_people_do_not_depend_on_others(drawn: dict[str, np.ndarray]):
    alone = draw_people([4], seed=3)
    for name, array in alone.items():
        np.testing.assert_allclose(array[0], drawn[name][4], atol=1e-4)
    assert not np.allclose(draw_people([4], seed=4)["pose"], alone["pose"])


def test_a_limb_hides_what_is_behind_it():
    joints = np.zeros((1, 49, 3))
    joints[0, :, 0] = np.linspace(-3, 3, 49)  # apart from each other, 5 m away
    joints[0, :, 2] = 5.0
    for name, at in (
        ("pelvis", (0, 0.5, 4)),
        ("thorax", (0, 0, 4)),
        ("left_wrist", (0.02, 0.2, 5)),
        ("nose", (0, 0.2, 3)),
    ):
        joints[0, JOINTS49.index(name)] = at
    for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"):
        joints[0, JOINTS49.index(name), 1] = 9.0
    covered = hidden_joints(joints)[0]
    assert covered[JOINTS49.index("left_wrist")] > 0
    assert covered[JOINTS49.index("nose")] <= 0
    assert covered[JOINTS49.index("pelvis")] <= 0, "the trunk does not hide its own joints"


def test_series_can_be_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("meshtto.data.datasets.poses._CHUNK", 4)
    few = BuiltinPoses(count=4, seed=1, root=str(tmp_path))
    few.prepare()
    first = few[3]
    more = BuiltinPoses(count=7, seed=1, root=str(tmp_path))
    with pytest.raises(UserError, match="contains 4 people, but 7 are needed"):
        more[0]
    more.prepare()
    assert len(more) == 7
    for name in ("rotations", "keypoints_px", "evidence_px", "evidence_confidence"):
        assert np.array_equal(getattr(more[3], name), getattr(first, name))
    assert more[5].image.shape == (1, 1, 3)
    assert more.label_body == "builtin"

    with np.load(few.path) as file:
        arrays = dict(file)
    arrays["settings"] = np.array(json.dumps({"seed": 1, "body": "old", "format": 1}))
    np.savez(few.path, **arrays)
    with pytest.raises(UserError, match="has the settings"):
        few.prepare()
    with pytest.raises(UserError, match="count is 0"):
        BuiltinPoses(count=0)


def test_detector_of_a_skeleton_finds_its_joints_only():
    true = np.random.default_rng(0).uniform(0, 200, (49, 2))
    exact = {"noise": 0.0, "outliers": 0.0, "missed": 0.0, "hidden_missed": 0.0, "swapped": 0.0}
    detector = Detector(**exact, skeletons=("coco17", "body16"))
    found = {name: [] for name in ("nose", "head_top", "left_wrist")}
    for seed in range(40):
        _, confidence = detector.detect(true, np.full(49, 2), np.random.default_rng(seed))
        for name, values in found.items():
            values.append(confidence[JOINTS49.index(name)] > 0)
    nose, head, wrist = (np.array(values) for values in found.values())
    assert wrist.all()
    assert (nose != head).all(), "COCO has a nose, body16 a head top"
    assert nose.any()
    assert head.any()
    with pytest.raises(UserError, match="skeletons of the detector names 'hand21', expected some of body16, coco17"):
        Detector(skeletons=("hand21",))

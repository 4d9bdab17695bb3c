"""Annotation files in SPIN's format as written by SPIN, CLIFF and EFT, valid and malformed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from roma import rotvec_to_rotmat

import hamipose.data
from hamipose.errors import UserError
from meshtto.data import KeypointsOnly, SpinAnnotations
from meshtto.data.sampling import crop_sample
from meshtto.joints import COCO17_SLOTS, JOINTS24, JOINTS49, LSP14_SLOTS, MOCAP17_SLOTS, MPII16_SLOTS
from meshtto.losses import LossWeights, Target, mesh_terms
from meshtto.types import BodyPrediction

N = 3


def content(**changes: object) -> dict:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.normal(0, 0.4, (N, 24, 3)), np.ones((N, 24, 1))], -1)
    joints[:, 14, :3] = 0
    part = np.concatenate([rng.uniform(10, 70, (N, 24, 2)), np.ones((N, 24, 1))], -1)
    part[:, 12:, 2] = 0
    whole = {
        "imgname": np.array([f"train/{k}.jpg" for k in range(N)]),
        "center": rng.uniform(30, 50, (N, 2)),
        "scale": np.full(N, 0.3),
        "part": part,
        "openpose": np.concatenate([rng.uniform(10, 70, (N, 25, 2)), rng.uniform(0, 1, (N, 25, 1))], -1),
        "S": joints,
        "pose": rng.normal(0, 0.5, (N, 72)),
        "shape": rng.normal(0, 1, (N, 10)),
        "has_smpl": np.array([1, 0, 1]),
        "gender": np.array(["m", "f", "m"]),
        "focal_length": np.array([900.0, 950.0, 1000.0]),
    }
    return {k: v for k, v in {**whole, **changes}.items() if v is not None}


def write(folder: Path, **changes: object) -> tuple[str, str]:
    for k in range(N):
        path = folder / "images" / "train" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((80, 100, 3), 50 * k, np.uint8))
    np.savez(folder / "set.npz", **content(**changes))
    return str(folder / "set.npz"), str(folder / "images")


def test_spin_reads_all_fields(tmp_path: Path):
    dataset = SpinAnnotations(*write(tmp_path))
    dataset.prepare()
    stored = content()
    sample = dataset[0]
    ankle, nose = JOINTS49.index("right_ankle"), JOINTS49.index("openpose_nose")
    assert sample.keypoints_px[ankle].tolist() == pytest.approx(stored["part"][0, 0, :2].tolist())
    assert sample.keypoints_px[nose].tolist() == pytest.approx(stored["openpose"][0, 0, :2].tolist())
    assert np.allclose(sample.joints_m[25:], stored["S"][0, :, :3], atol=1e-6)
    assert not sample.joints_confidence[:25].any()
    turns = rotvec_to_rotmat(torch.from_numpy(stored["pose"][0].reshape(24, 3)))
    assert np.allclose(sample.rotations, turns, atol=1e-6)
    assert sample.has_mesh
    assert not dataset[1].has_mesh
    assert (sample.gender, dataset[1].gender) == (1, 0)  # the second person has no mesh
    assert SpinAnnotations(*write(tmp_path, has_smpl=None))[1].gender == 2
    assert sample.focal_px == 900
    assert sample.image_size.tolist() == [100, 80]
    known = stored["part"][0, :12, :2]
    assert sample.box_px[2:] == pytest.approx(1.2 * np.ptp(known, axis=0), rel=1e-5)
    assert sample.evidence_confidence[25:].sum() == 12
    assert not sample.evidence_confidence[:25].any()
    sample = SpinAnnotations(*write(tmp_path), evidence="detector")[0]
    assert np.allclose(sample.evidence_confidence[:25], stored["openpose"][0, :, 2], atol=1e-6)
    # OpenPose's joints are also evidence of the data sets' joints of the same names, except neck and pelvis.
    wrist, same = JOINTS49.index("openpose_left_wrist"), JOINTS49.index("left_wrist")
    assert np.array_equal(sample.evidence_px[wrist], sample.evidence_px[same])
    assert sample.evidence_confidence[same] == sample.evidence_confidence[wrist]
    assert (sample.evidence_confidence[25:] > 0).sum() == 17
    boxed = SpinAnnotations(*write(tmp_path), box="file")[0].box_px
    assert boxed[2:].tolist() == pytest.approx([60, 60])
    assert (boxed[:2] + 59 / 2).tolist() == pytest.approx(stored["center"][0].tolist(), abs=1e-4)
    assert len(SpinAnnotations(*write(tmp_path), stride=2)) == 2


@pytest.mark.parametrize(("evidence", "counts"), [("truth", True), ("detector", True), ("none", False)])
def test_spin_evidence_is_available(tmp_path: Path, evidence: str, counts: bool):
    """With default weights, OpenPose's half of the 49 joints has weight 0."""
    one = crop_sample(SpinAnnotations(*write(tmp_path), evidence=evidence)[0], (64, 48))
    body = torch.zeros(1, 24, 3, 3), torch.zeros(1, 10), torch.ones(1, 3), torch.zeros(1, 0, 3), torch.zeros(1, 49, 3)
    seen = BodyPrediction(*body, keypoints_px=torch.zeros(1, 49, 2))
    target = Target(one.evidence_px, one.evidence_confidence)
    assert bool(mesh_terms(seen, target, (64, 48), LossWeights()).keypoints > 0) == counts


def test_spin_missing_fields_are_unlabeled(tmp_path: Path):
    """EFT's LSP-Extended has only boxes and 2D joints; CLIFF's COCO has no openpose, gender and has_smpl."""
    flat = SpinAnnotations(
        *write(tmp_path, S=None, pose=None, shape=None, has_smpl=None, gender=None, focal_length=None, openpose=None)
    )[0]
    assert not flat.has_mesh
    assert not flat.joints_confidence.any()
    assert flat.gender == 0
    assert flat.focal_px == pytest.approx(np.hypot(100, 80))
    cliff = SpinAnnotations(*write(tmp_path, has_smpl=None, openpose=None))
    assert all(cliff[k].has_mesh for k in range(N))
    unknown = content()["part"]
    unknown[0, :, 2] = 0
    assert SpinAnnotations(*write(tmp_path, part=unknown))[0].box_px[2:].tolist() == pytest.approx([60, 60])
    joints = content()["S"]
    joints[:, 14, 3] = 0  # no pelvis: the midpoint of the hips replaces it
    hips = JOINTS24.index("left_hip"), JOINTS24.index("right_hip")
    sample = SpinAnnotations(*write(tmp_path, S=joints))[0]
    assert np.allclose(sample.joints_m[[25 + h for h in hips]].mean(0), 0, atol=1e-6)


def test_spin_reads_objects_and_bytes(tmp_path: Path):
    names = np.array([f"train/{k}.jpg" for k in range(N)], object)
    sample = SpinAnnotations(*write(tmp_path, imgname=names))[1]
    assert sample.name.endswith("images/train/1.jpg")
    assert SpinAnnotations(*write(tmp_path, imgname=names.astype(bytes)))[1].name == sample.name


def test_spin_fits_replace_labels(tmp_path: Path):
    where = write(tmp_path)
    fits = np.random.default_rng(1).normal(0, 0.3, (N, 83))
    fits[:, 82] = 0, 1, 1
    np.save(tmp_path / "fits.npy", fits)
    dataset = SpinAnnotations(*where, fits=str(tmp_path / "fits.npy"))
    assert [dataset[k].has_mesh for k in range(N)] == [False, True, True]
    assert np.allclose(dataset[2].shape, fits[2, 72:82])
    assert not any(dataset[k].gender for k in range(N))  # fits belong to the neutral body
    np.save(tmp_path / "fits.npy", fits[:, :82])
    dataset = SpinAnnotations(*where, fits=str(tmp_path / "fits.npy"))
    assert all(dataset[k].has_mesh for k in range(N))
    np.save(tmp_path / "fits.npy", fits[:2])
    with pytest.raises(UserError, match=r"fits .* have shape \(2, 83\), expected 3 rows"):
        SpinAnnotations(*where, fits=str(tmp_path / "fits.npy"))[0]


class _Bomb:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": None}, "have no scale"),
        ({"part": np.zeros((N, 25, 3))}, r"part of .* has shape \(3, 25, 3\), expected \(3, 24, 3\)"),
        ({"pose": np.full((N, 72), np.nan)}, "row 0 of pose of .* is not finite"),
        ({"shape": None}, "only one of pose and shape"),
        ({"imgname": np.array([_Bomb()] * N, object)}, "expected only arrays"),
    ],
)
def test_spin_rejects_malformed_files(tmp_path: Path, capsys, changes: dict, message: str):
    where = write(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as raised:
        SpinAnnotations(*where)[0]
    assert "\n" not in str(raised.value)
    assert "code was run" not in capsys.readouterr().out


def test_spin_rejects_missing_and_damaged_files(tmp_path: Path):
    where = write(tmp_path)
    with pytest.raises(UserError, match=r"nothing\.npz does not exist"):
        len(SpinAnnotations(str(tmp_path / "nothing.npz"), "x"))
    with pytest.raises(UserError, match=r"image .* does not exist; check the folder"):
        SpinAnnotations(where[0], str(tmp_path)).prepare()
    with pytest.raises(UserError, match="have no openpose"):
        len(SpinAnnotations(*write(tmp_path, openpose=None), evidence="detector"))
    path = Path(where[0])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="is cut short, damaged"):
        len(SpinAnnotations(*where))
    for option in ({"box": "tight"}, {"stride": 0}, {"evidence": "mine"}):
        with pytest.raises(UserError):
            SpinAnnotations(*where, **option)  # type: ignore[arg-type]


def test_joint_slots_are_consistent():
    """A joint has the same slot in the tables of all data sets."""
    from hamipose.skeletons import BODY16, COCO17, LSP14

    same = {"head": "head_top", "neck": "neck", "pelvis": "pelvis", "thorax": "thorax"}
    for skeleton, slots in ((COCO17, COCO17_SLOTS), (LSP14, LSP14_SLOTS), (BODY16, MPII16_SLOTS)):
        for name, slot in zip(skeleton.keypoints, slots, strict=True):
            assert JOINTS24[slot] == same.get(name, name)
    left = [MOCAP17_SLOTS[k] for k in (1, 2, 3, 11, 12, 13)]
    assert all(JOINTS24[slot].startswith("left_") for slot in left)
    assert len(set(MOCAP17_SLOTS)) == 17


def test_keypoints_only_wraps_2d_sets(tmp_path: Path):
    import scipy.io

    joints = np.random.default_rng(0).uniform(1, 29, (14, 3, 4))
    joints[:, 2] = (np.arange(14) % 2)[:, None]
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for i in range(1, 5):
        path = tmp_path / "images" / f"im{i:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
    dataset = KeypointsOnly(hamipose.data.LeedsSportsExtended(str(tmp_path), split="all", skeleton="lsp14"))
    dataset.prepare()
    assert len(dataset) == 4
    sample = dataset[2]
    knee = JOINTS49.index("right_knee")
    assert sample.keypoints_px[knee].tolist() == pytest.approx(joints[1, :2, 2].tolist(), abs=1e-4)
    assert sample.keypoints_confidence[knee] == 1
    assert sample.keypoints_confidence.sum() == 7
    assert not sample.has_mesh
    assert not sample.joints_confidence.any()
    with pytest.raises(UserError, match="but KeypointsOnly has none"):
        KeypointsOnly(dataset.dataset, evidence="detector")

"""3DPW in its official format: sequences as Python 2 pickles, with known cameras."""

import pickle
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from roma import random_rotmat, rotmat_to_rotvec, rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.body import Body, load_body
from meshtto.body.arrays import read_arrays, write_arrays
from meshtto.body.loading import builtin_path
from meshtto.data import ThreeDPW
from meshtto.joints import CANDIDATES, COCO18_SLOTS, JOINTS49

FRAMES = 4


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the built-in body for two genders; the female one is larger."""
    folder = tmp_path_factory.mktemp("bodies")
    for gender, size in (("neutral", 1.0), ("male", 1.0), ("female", 1.3)):
        arrays = read_arrays(builtin_path())
        arrays.gender = gender
        arrays.template_m, arrays.shape_dirs = arrays.template_m * size, arrays.shape_dirs * size
        write_arrays(arrays, folder / f"smpl_{gender}.safetensors")
    return str(folder / "smpl_neutral.safetensors")


def sequence(bodies: str, **changes: object) -> dict:
    """Return two walking people, with changes."""
    return {k: v for k, v in {**walk(bodies), **changes}.items() if v is not None}


@lru_cache(maxsize=1)
def walk(bodies: str) -> dict:
    """Return two walking people; the second one is a woman, and has no camera in frame 1."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    world = {"poses": [], "trans": [], "jointPositions": [], "betas": []}
    for gender in ("male", "female"):
        body = load_body(bodies, gender).double()
        rotations = random_rotmat((FRAMES, 24), dtype=torch.float64)
        shape = torch.randn(1, 10, dtype=torch.float64).expand(FRAMES, 10)
        trans = torch.from_numpy(rng.normal(0, 0.5, (FRAMES, 3)))
        out = body(rotations, shape, trans)
        world["poses"].append(rotmat_to_rotvec(rotations).reshape(FRAMES, 72).numpy())
        world["trans"].append(trans.numpy())
        world["jointPositions"].append(out.skeleton_m.reshape(FRAMES, 72).numpy())
        world["betas"].append(np.concatenate([shape[0].numpy(), np.zeros(6)]))  # more than ten coefficients
    cameras = np.broadcast_to(np.eye(4), (FRAMES, 4, 4)).copy()
    cameras[:, :3, :3] = random_rotmat((FRAMES,), dtype=torch.float64).numpy()
    cameras[:, :3, 3] = rng.normal(0, 0.3, (FRAMES, 3)) + np.array([0, 0, 6])
    detected = rng.uniform(20, 200, (2, FRAMES, 3, 18))
    detected[:, :, 2] = rng.uniform(0.1, 1, (2, FRAMES, 18))
    detected[0, 2] = 0
    valid = np.ones((2, FRAMES), int)
    valid[1, 1] = 0
    return {
        "sequence": "walk_00",
        **world,
        "poses2d": list(detected),
        "cam_poses": cameras,
        "cam_intrinsics": np.array([[300.0, 0, 119], [0, 302.0, 159], [0, 0, 1]]),
        "campose_valid": list(valid),
        "genders": ["m", "f"],
        "img_frame_ids": np.arange(FRAMES) * 2,
    }


def write(root: Path, content: object, split: str = "test") -> str:
    path = root / "sequenceFiles" / split / "walk_00.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, 2))
    for k in range(FRAMES):
        image_path = root / "imageFiles" / "walk_00" / f"image_{k:05d}.jpg"
        image_path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image_path), np.full((320, 240, 3), 40 * k, np.uint8))
    return str(root)


def project_joints(content: dict, person: int, frame: int, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Compute labels in the world first and then in the camera, in the opposite order of the loader."""
    rotations = rotvec_to_rotmat(torch.from_numpy(content["poses"][person][frame].reshape(1, 24, 3)))
    shape = torch.from_numpy(content["betas"][person][None, :10])
    trans = torch.from_numpy(content["trans"][person][frame : frame + 1])
    out = body(rotations, shape, trans)
    camera = content["cam_poses"][frame]
    joints, vertices = (p[0].numpy() @ camera[:3, :3].T + camera[:3, 3] for p in (out.joints_m, out.vertices_m))
    return joints, vertices


def test_threedpw_labels_equal_the_projected_gendered_mesh(tmp_path: Path, bodies: str):
    content = sequence(bodies)
    dataset = ThreeDPW(write(tmp_path, content), body=bodies)
    dataset.prepare()
    assert len(dataset) == 2 * FRAMES - 1
    kept = [(0, f) for f in range(FRAMES)] + [(1, f) for f in (0, 2, 3)]
    for index, (person, frame) in enumerate(kept):
        sample = dataset[index]
        gender = ("male", "female")[person]
        body = load_body(bodies, gender).double()
        joints, vertices = project_joints(content, person, frame, body)
        pixels = joints @ content["cam_intrinsics"].T
        assert np.allclose(sample.keypoints_px, pixels[:, :2] / pixels[:, 2:], atol=1e-2)
        pelvis = JOINTS49.index("pelvis")
        assert np.allclose(sample.joints_m, joints - joints[pelvis], atol=1e-5)
        assert sample.gender == person + 1
        assert sample.image.mean() == pytest.approx(40 * frame, abs=2)
        # The labeled pose and shape give the same mesh up to translation.
        again = (
            body(torch.from_numpy(sample.rotations)[None], torch.from_numpy(sample.shape)[None]).vertices_m[0].numpy()
        )
        assert np.allclose(again - again.mean(0), vertices - vertices.mean(0), atol=1e-4)
        assert sample.focal_px == pytest.approx(301)
        assert sample.image_size.tolist() == [240, 320]


def test_threedpw_without_body_uses_the_files_joints(tmp_path: Path, bodies: str):
    content = sequence(bodies)
    with_body = ThreeDPW(write(tmp_path, content), body=bodies)
    without = ThreeDPW(str(tmp_path))
    for index in (0, 5):
        a, b = with_body[index], without[index]
        known = b.keypoints_confidence > 0
        assert known.tolist() == [c < 24 for c in CANDIDATES]
        assert np.allclose(a.keypoints_px[known], b.keypoints_px[known], atol=1e-2)
        assert np.array_equal(a.rotations, b.rotations)
        offset = (a.joints_m - b.joints_m)[known]  # different pelvis
        assert np.allclose(offset, offset[0], atol=1e-5)


def test_threedpw_evidence_and_boxes(tmp_path: Path, bodies: str):
    content = sequence(bodies)
    root = write(tmp_path, content)
    sample = ThreeDPW(root, body=bodies, evidence="detector")[3]
    for slot, position in COCO18_SLOTS:
        assert sample.evidence_px[25 + slot].tolist() == pytest.approx(
            content["poses2d"][0][3, :2, position].tolist(), abs=1e-3
        )
        assert sample.evidence_confidence[25 + slot] == pytest.approx(content["poses2d"][0][3, 2, position])
    assert (sample.evidence_confidence > 0).sum() == len(COCO18_SLOTS)
    true = ThreeDPW(root, body=bodies)[3]
    assert np.array_equal(true.evidence_px, true.keypoints_px)
    assert not ThreeDPW(root, body=bodies, evidence="none")[3].evidence_confidence.any()
    by_detector = ThreeDPW(root, body=bodies, box="detector")
    assert len(by_detector) == 2 * FRAMES - 2  # no detection in frame 2 of the first person
    box = by_detector[0].box_px
    shown = content["poses2d"][0][0][:2, [p for _, p in COCO18_SLOTS]]
    assert box[2:].tolist() == pytest.approx((1.2 * np.ptp(shown, axis=1)).tolist(), rel=1e-4)


def test_threedpw_split_names(tmp_path: Path, bodies: str):
    write(tmp_path, sequence(bodies), "val")
    assert len(ThreeDPW(str(tmp_path), split="validation", stride=3)) == 3
    with pytest.raises(UserError, match="sequenceFiles/train does not exist; get 3DPW"):
        len(ThreeDPW(str(tmp_path), split="train"))
    with pytest.raises(UserError, match="split of ThreeDPW is 'dev'"):
        ThreeDPW(str(tmp_path), split="dev")


class _Bomb:
    def __reduce__(self):
        return print, ("code was run",)


def test_threedpw_rejects_malformed_sequences(tmp_path: Path, bodies: str, capsys):
    for changes, message in (
        ({"cam_poses": None}, "has no cam_poses"),
        ({"poses": [np.zeros((FRAMES, 63)), np.zeros((FRAMES, 63))]}, r"pose of person 0 .* has shape \(4, 63\)"),
        ({"trans": [np.full((FRAMES, 3), np.nan)] * 2}, "translation of person 0 in .* not finite"),
        ({"genders": ["m", "x"]}, "gender of person 1 in .* is 'x'"),
        ({"poses2d": [np.zeros((FRAMES, 3, 18))]}, "is not in 3DPW's format"),
        ({"extra": _Bomb()}, "expected only arrays"),
    ):
        root = write(tmp_path, sequence(bodies, **changes))
        with pytest.raises(UserError, match=message) as raised:
            len(ThreeDPW(root))
        assert "\n" not in str(raised.value)
    assert "code was run" not in capsys.readouterr().out
    root = write(tmp_path, [1, 2])
    with pytest.raises(UserError, match="contains a list"):
        len(ThreeDPW(root))
    write(tmp_path, sequence(bodies))
    (tmp_path / "imageFiles" / "walk_00" / "image_00000.jpg").unlink()
    with pytest.raises(UserError, match=r"image_00000\.jpg does not exist"):
        ThreeDPW(root).prepare()

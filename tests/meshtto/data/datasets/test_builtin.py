"""Rendered images of the built-in body: labels against body and camera, resumption, simulated detector."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.body import load_body
from meshtto.data import BuiltinMeshes, Detector
from meshtto.data.base import joint_box
from meshtto.data.datasets.render_cache import read_labels, render_images
from meshtto.joints import JOINTS49

SIDE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("meshes")
    render_images(root / "plain-96-0", "plain", 4, SIDE, 0, workers=1, progress=False)
    return root


def test_builtin_labels_equal_the_projected_mesh(folder: Path):
    labels = read_labels(folder / "plain-96-0" / "labels.npz")
    pose = rotvec_to_rotmat(torch.from_numpy(labels["pose"].reshape(-1, 24, 3)).double())
    shape, translation = (torch.from_numpy(labels[name]).double() for name in ("shape", "trans"))
    joints = load_body().double()(pose, shape, translation).joints_m.numpy()
    pixels = joints[..., :2] / joints[..., 2:] * labels["focal_length"][:, None, None] + (SIDE - 1) / 2
    assert abs(pixels - labels["keypoints"]).max() < 5e-3
    pelvis = joints[:, JOINTS49.index("pelvis")][:, None]
    assert abs(joints - pelvis - labels["joints"]).max() < 1e-5
    inside = ((pixels > -0.5) & (pixels < SIDE - 0.5)).all(-1)
    assert np.array_equal(inside, labels["visibility"] > 0)


def test_rendered_silhouette_matches_the_labels(folder: Path):
    """The silhouette covers the pixels that differ from the background."""
    labels = read_labels(folder / "plain-96-0" / "labels.npz")
    body = load_body()
    agreed = []
    for k in range(4):
        pose = rotvec_to_rotmat(torch.from_numpy(labels["pose"][k].reshape(1, 24, 3)))
        vertices = body(pose, torch.from_numpy(labels["shape"][k : k + 1])).vertices_m[0].numpy() + labels["trans"][k]
        pixels = vertices[:, :2] / vertices[:, 2:] * labels["focal_length"][k] + (SIDE - 1) / 2
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for triangle in pixels[body.faces.numpy()]:
            cv2.fillConvexPoly(mask, np.round(triangle).astype(np.int32), 1)
        image = cv2.imread(str(folder / "plain-96-0" / str(labels["imgname"][k]))).astype(float)
        rim = cv2.dilate(mask, np.ones((7, 7))) - cv2.dilate(mask, np.ones((5, 5)))
        core = cv2.erode(mask, np.ones((3, 3)))
        if not core.any() or not rim.any():
            continue
        edge = np.abs(cv2.Laplacian(image, cv2.CV_64F)).sum(-1)
        outline = cv2.dilate(mask, np.ones((3, 3))) - core
        agreed.append(edge[outline > 0].mean() > edge[mask == 0].mean())
    assert len(agreed) >= 3
    assert sum(agreed) >= len(agreed) - 1  # one backdrop is noise, which has edges everywhere


def test_interrupted_rendering_resumes_identically(folder: Path, tmp_path: Path):
    made = []
    with pytest.raises(RuntimeError, match="stop"):
        _interrupted(tmp_path / "m", made)
    assert not (tmp_path / "m" / "labels.npz").exists()
    (tmp_path / "m" / "images" / "000001.json.part").write_text('{"settings"')  # left by a killed process
    render_images(tmp_path / "m", "plain", 3, SIDE, 0, workers=1, progress=False)
    whole, again = read_labels(folder / "plain-96-0" / "labels.npz"), read_labels(tmp_path / "m" / "labels.npz")
    for name in ("pose", "shape", "keypoints", "visibility"):
        assert np.array_equal(whole[name][:3], again[name])
    for k in range(3):
        name = f"images/{k:06d}.jpg"
        assert (folder / "plain-96-0" / name).read_bytes() == (tmp_path / "m" / name).read_bytes()
    before = (tmp_path / "m" / "images/000000.jpg").stat().st_mtime_ns
    render_images(tmp_path / "m", "plain", 3, SIDE, 0, workers=1, progress=False)  # nothing is missing
    assert (tmp_path / "m" / "images/000000.jpg").stat().st_mtime_ns == before


def _interrupted(folder: Path, made: list) -> None:
    from meshtto.data.datasets import rendering

    real = rendering.make_record

    def stopping(*given: object, **named: object) -> dict:
        if len(made) == 1:
            raise RuntimeError("stop")
        made.append(real(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    rendering.make_record = stopping  # type: ignore[assignment]
    try:
        render_images(folder, "plain", 3, SIDE, 0, workers=1, progress=False)
    finally:
        rendering.make_record = real


def test_render_images_rejects_invalid_options_and_foreign_folders(folder: Path, tmp_path: Path):
    for wrong, message in (
        ({"style": "oil"}, "style is 'oil'"),
        ({"count": 0}, "count is 0"),
        ({"size": 8}, "size is 8"),
        ({"poses": ["flying"]}, "poses are flying"),
    ):
        asked = {"style": "plain", "count": 1, "size": SIDE, "seed": 0} | wrong
        with pytest.raises(UserError, match=message):
            render_images(tmp_path / "x", **asked)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="contains images rendered with"):
        render_images(folder / "plain-96-0", "photo", 4, SIDE, 0)
    with pytest.raises(UserError, match="but 9 are needed"):
        BuiltinMeshes(count=9, size=SIDE, root=str(folder))[0]
    with pytest.raises(UserError, match="does not exist; render the images first"):
        BuiltinMeshes(seed=5, size=SIDE, root=str(folder))[0]
    with pytest.raises(UserError, match="evidence is 'guess'"):
        BuiltinMeshes(evidence="guess")
    (tmp_path / "plain-96-0").mkdir()
    (tmp_path / "plain-96-0" / "labels.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UserError, match="is cut short, damaged"):
        BuiltinMeshes(size=SIDE, root=str(tmp_path))[0]


def test_facing_keeps_people_who_face_the_camera(folder: Path, tmp_path: Path):
    """Bodies have y up and face along z; cameras have y down and look along z."""
    turns = {"towards": (0.0, 0.0), "half away": (1.4, 0.0), "a little away": (0.9, 0.0), "leaning": (0.0, 1.0)}
    labels = dict(read_labels(folder / "plain-96-0" / "labels.npz"))
    upright = rotvec_to_rotmat(torch.tensor([np.pi, 0.0, 0.0]).double())
    for person, (yaw, lean) in enumerate(turns.values()):
        y = rotvec_to_rotmat(torch.tensor([0.0, yaw, 0.0]).double())
        z = rotvec_to_rotmat(torch.tensor([0.0, 0.0, lean]).double())
        labels["pose"][person, :3] = rotmat_to_rotvec(z @ upright @ y)
    (tmp_path / "plain-96-0").mkdir()
    np.savez(tmp_path / "plain-96-0" / "labels.npz", **labels)
    facing = BuiltinMeshes(count=4, size=SIDE, root=str(tmp_path), facing=True)
    assert facing.indices.tolist() == [0, 2]
    assert len(facing) == 2
    (tmp_path / "plain-96-0" / "images").symlink_to(folder / "plain-96-0" / "images")
    everyone = BuiltinMeshes(count=4, size=SIDE, root=str(tmp_path))
    assert facing[1].name == everyone[2].name


def test_builtin_samples_have_consistent_fields(folder: Path):
    detected = BuiltinMeshes(count=4, size=SIDE, root=str(folder))
    true = BuiltinMeshes(count=4, size=SIDE, root=str(folder), evidence="truth")
    none = BuiltinMeshes(count=4, size=SIDE, root=str(folder), evidence="none")
    a, b, c = detected[1], true[1], none[1]
    assert np.array_equal(a.keypoints_px, b.keypoints_px)
    assert np.array_equal(b.evidence_px, b.keypoints_px)
    assert (a.evidence_confidence != b.evidence_confidence).any()
    assert not c.evidence_confidence.any()
    assert np.array_equal(a.evidence_px, detected[1].evidence_px)  # the same every time
    assert a.box_px[2] == pytest.approx(1.2 * np.ptp(a.keypoints_px[25:, 0]), abs=1e-3)
    assert json.loads(str(detected.labels["settings"]))["style"] == "plain"


def test_detector_errors_match_their_options():
    detector = Detector(noise=1.0, outliers=0.0, missed=0.1, hidden_missed=0.5, swapped=0.0)
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 200, (49, 2))
    visibility = np.where(np.arange(49) < 16, 1, 2)
    visibility[48] = 0
    runs = [detector.detect(true, visibility, np.random.default_rng(k)) for k in range(1500)]
    detected_joints = np.stack([c > 0 for _, c in runs])
    assert detected_joints[:, 16:24].mean() == pytest.approx(0.9, abs=0.02)
    assert detected_joints[:, :15].mean() == pytest.approx(0.5, abs=0.03)
    assert not detected_joints[:, 48].any()
    error = np.stack([p for p, _ in runs]) - true
    scale = np.sqrt(0.5 * np.prod(np.ptp(true, axis=0)))
    wrist = JOINTS49.index("left_wrist")
    assert np.sqrt((error[:, wrist] ** 2).sum(-1).mean()) == pytest.approx(0.062 * scale, rel=0.05)
    # Confidence decreases with the error, like COCO's similarity.
    distance = np.linalg.norm(error[:, wrist], axis=-1)
    confidence = np.stack([c for _, c in runs])[:, wrist]
    near, far = distance < np.median(distance), distance >= np.median(distance)
    assert confidence[near & (confidence > 0)].mean() > confidence[far & (confidence > 0)].mean() + 0.03


def test_detector_swaps_limbs_in_both_halves():
    true = np.random.default_rng(0).uniform(0, 100, (49, 2))
    certain = Detector(noise=0.0, outliers=0.0, missed=0.0, hidden_missed=0.0, swapped=1.0)
    limbs = set()
    for k in range(20):
        detected_joints, confidence = certain.detect(true, np.full(49, 2), np.random.default_rng(k))
        assert (confidence > 0.7).all()
        wrong = {JOINTS49[i] for i in np.flatnonzero(np.abs(detected_joints - true).max(1) > 1e-3)}
        assert len(wrong) == 12
        limbs.add("left_wrist" in wrong)
        part = "wrist" if "left_wrist" in wrong else "ankle"
        for half in ("", "openpose_"):
            left, right = (JOINTS49.index(f"{half}{side}_{part}") for side in ("left", "right"))
            assert np.allclose(detected_joints[left], true[right], atol=1e-4)
    assert limbs == {True, False}
    with pytest.raises(UserError, match=r"missed of the detector is 1\.5"):
        Detector(missed=1.5)
    assert np.allclose(
        Detector(0.0, 0.0, 0.0, 0.0, 0.0).detect(true, np.full(49, 2), np.random.default_rng(0))[0], true, atol=1e-4
    )


def test_joint_box_uses_the_data_set_joints():
    pixels = np.full((49, 2), 500.0)
    pixels[30], pixels[40] = (10, 20), (30, 80)
    confidence = np.zeros(49)
    confidence[[30, 40, 3]] = 1
    left, top, width, height = joint_box(pixels, confidence, 1.0)
    assert (left, top, width, height) == pytest.approx((10.5, 20.5, 20, 60))
    confidence[25:] = 0
    with pytest.raises(ValueError, match="in one point"):
        joint_box(pixels, confidence)
    with pytest.raises(ValueError, match="no joint is known"):
        joint_box(pixels, confidence * 0)


def test_format_version_does_not_change_the_people(monkeypatch):
    """A new version of a style requires new images, but has the same bodies."""
    from meshtto.data.datasets import rendering

    before = rendering.draw_person("photo", 1, seed=3, size=48, device="cpu")[1]
    monkeypatch.setitem(rendering.FORMAT, "photo", 99)
    after = rendering.draw_person("photo", 1, seed=3, size=48, device="cpu")[1]
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])

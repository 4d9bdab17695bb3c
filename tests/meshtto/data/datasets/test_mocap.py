"""Human3.6M and MPI-INF-3DHP in their official formats, with joints only and with MoSh's labels."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.errors import UserError
from meshtto.data import Human36MMeshes, MpiInf3dhp
from meshtto.data.datasets.mocap import fit_focal_px
from meshtto.joints import JOINTS24, JOINTS49

cdflib = pytest.importorskip("cdflib")
FRAMES, FOCAL = 12, 1145.0


def project_person(joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a person in front of a camera in pixels and millimeters."""
    rng = np.random.default_rng(0)
    solid = rng.normal(0, 400, (FRAMES, joints, 3)) + np.array([100, -50, 5000])
    return FOCAL * solid[..., :2] / solid[..., 2:] + np.array([512, 510]), solid


def write_cdf(path: Path, values: np.ndarray) -> None:
    from cdflib.cdfwrite import CDF

    path.parent.mkdir(parents=True, exist_ok=True)
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": list(values.shape)}
    spec |= {"Dim_Vary": [True] * values.ndim, "Var_Type": "zVariable"}
    with CDF(str(path), cdf_spec={}, delete=True) as file:
        file.write_var(spec, var_data=values[None])


def h36m(root: Path, camera: str = "60457274") -> tuple[np.ndarray, np.ndarray]:
    flat, solid = project_person(32)
    for subject in (9, 11):
        features = root / f"S{subject}" / "MyPoseFeatures"
        for folder, values in (("D2_Positions", flat), ("D3_Positions_mono", solid)):
            write_cdf(features / folder / f"Walking 1.{camera}.cdf", values.reshape(FRAMES, -1).astype(np.float32))
        for number in (1, 6, 11):
            path = root / "images" / f"S{subject}_Walking_1.{camera}_{number:06d}.jpg"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.full((1002, 1000, 3), number * 10, np.uint8))
    return flat, solid


def test_h36m_joints_only(tmp_path: Path):
    flat, solid = h36m(tmp_path)
    dataset = Human36MMeshes(str(tmp_path), split="p2")
    dataset.prepare()
    assert len(dataset) == 6  # frames 0, 5, 10 of two subjects
    sample = dataset[1]
    assert sample.name.endswith("S9_Walking_1.60457274_000006.jpg")
    native = {"right_ankle": 3, "left_ankle": 8, "left_wrist": 19, "right_wrist": 27, "left_hip": 6, "right_elbow": 26}
    native |= {"pelvis": 11, "neck": 24, "jaw": 14, "head": 15, "spine": 12}
    for name, place in native.items():
        k = 25 + JOINTS24.index(name)
        assert sample.keypoints_px[k].tolist() == pytest.approx(flat[5, place].tolist(), abs=1e-2)
        assert sample.joints_m[k].tolist() == pytest.approx(
            ((solid[5, place] - solid[5, 11]) / 1000).tolist(), abs=1e-4
        )
    assert sample.keypoints_confidence.sum() == 17
    assert sample.focal_px == pytest.approx(FOCAL, rel=1e-3)
    assert not sample.has_mesh
    assert sample.image_size.tolist() == [1000, 1002]
    assert dataset.occluders
    dataset.decode_side = 64
    small = dataset[1]
    assert small.reduction > 1
    assert small.image_size.tolist() == pytest.approx([1000, 1002], abs=8)
    assert np.array_equal(small.keypoints_px, sample.keypoints_px)


def test_h36m_protocols_select_cameras(tmp_path: Path):
    h36m(tmp_path)
    h36m(tmp_path, "54138969")
    assert len(Human36MMeshes(str(tmp_path), split="p1")) == 12
    assert len(Human36MMeshes(str(tmp_path), split="p2")) == 6


def test_h36m_uses_mosh_labels_if_present(tmp_path: Path):
    h36m(tmp_path)
    poses = np.random.default_rng(1).normal(0, 0.3, (3, 72))
    path = tmp_path / "mosh" / "S9" / "Walking 1_cam3_aligned.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"new_poses": poses, "betas": np.arange(10.0)}, 2))
    dataset = Human36MMeshes(str(tmp_path), split="p2", mosh=str(tmp_path / "mosh"))
    assert [dataset[k].has_mesh for k in range(6)] == [True] * 3 + [False] * 3  # subject 11 has none
    half = cv2.Rodrigues(np.array([np.pi, 0, 0]))[0]
    root = cv2.Rodrigues(poses[1, :3])[0] @ half
    assert np.allclose(dataset[1].rotations[0], root, atol=1e-5)
    assert np.allclose(dataset[1].rotations[4], cv2.Rodrigues(poses[1, 12:15])[0], atol=1e-5)
    assert dataset[1].shape.tolist() == list(range(10))
    path.write_bytes(pickle.dumps({"new_poses": poses[:, :60], "betas": np.arange(10.0)}, 2))
    with pytest.raises(UserError, match=r"new_poses of .* have shape \(3, 60\)"):
        len(Human36MMeshes(str(tmp_path), split="p2", mosh=str(tmp_path / "mosh")))
    path.write_bytes(pickle.dumps({"betas": 1}, 2))
    with pytest.raises(UserError, match="have no new_poses and betas"):
        len(Human36MMeshes(str(tmp_path), split="p2", mosh=str(tmp_path / "mosh")))


def test_h36m_decodes_missing_images_from_video(tmp_path: Path):
    h36m(tmp_path)
    for path in (tmp_path / "images").glob("S9*"):
        path.unlink()
    dataset = Human36MMeshes(str(tmp_path), split="p2")
    with pytest.raises(UserError, match=r"neither image .* nor video .* exists"):
        dataset.prepare()
    video = tmp_path / "S9" / "Videos" / "Walking 1.60457274.mp4"
    video.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 50, (160, 120))
    for k in range(FRAMES):
        writer.write(np.full((120, 160, 3), 20 * k, np.uint8))
    writer.release()
    dataset.prepare()
    assert dataset[1].image.mean() == pytest.approx(100, abs=8)
    assert dataset[1].name.endswith("Walking 1.60457274.mp4#5")


def test_h36m_rejects_malformed_files(tmp_path: Path):
    with pytest.raises(UserError, match=r"S9 contains no .*D2_Positions"):
        len(Human36MMeshes(str(tmp_path), split="p2"))
    flat, _ = h36m(tmp_path)
    mono = tmp_path / "S9" / "MyPoseFeatures" / "D3_Positions_mono" / "Walking 1.60457274.cdf"
    write_cdf(mono, flat.reshape(FRAMES, -1).astype(np.float32))
    with pytest.raises(UserError, match=r"Pose in .* of shape .*expected finite numbers of 1 × frames × 96"):
        len(Human36MMeshes(str(tmp_path), split="p2"))
    mono.write_bytes(b"torn")
    with pytest.raises(UserError, match="is a text file, not a CDF file"):
        len(Human36MMeshes(str(tmp_path), split="p2"))
    for option in ({"split": "val"}, {"frame_stride": 3, "mosh": "x"}, {"evidence": "detector"}):
        with pytest.raises(UserError):
            Human36MMeshes(str(tmp_path), **option)  # type: ignore[arg-type]


def test_mpi_inf_3dhp_samples_and_errors(tmp_path: Path):
    flat, solid = project_person(28)
    flat[10, 4] = -5  # partly outside: skipped
    for k, wrong in (("Seq1", False), ("Seq2", True)):
        cells = [np.empty((14, 1), object) for _ in range(2)]
        for cell, values in zip(cells, (flat, solid), strict=True):
            for camera in range(14):
                cell[camera, 0] = values.reshape(FRAMES, -1)[:, : 40 if wrong else None]
        path = tmp_path / "S1" / k / "annot.mat"
        path.parent.mkdir(parents=True)
        scipy.io.savemat(path, {"annot2": cells[0], "annot3": cells[1]})
        if wrong:
            with pytest.raises(UserError, match="expected 56 and 84 columns"):
                len(MpiInf3dhp(str(tmp_path), subjects=[1]))
            path.unlink()
    image_path = tmp_path / "S1" / "Seq1" / "imageFrames" / "video_0" / "frame_000001.jpg"
    image_path.parent.mkdir(parents=True)
    cv2.imwrite(str(image_path), np.zeros((64, 64, 3), np.uint8))
    dataset = MpiInf3dhp(str(tmp_path), subjects=[1])
    dataset.prepare()
    assert len(dataset) == 8  # frame 0 of eight cameras; frame 10 is cut
    sample = dataset[0]
    native = {"pelvis": 4, "left_hip": 18, "right_ankle": 25, "left_shoulder": 9, "right_wrist": 16, "head": 7}
    for name, place in native.items():
        k = JOINTS49.index(name)
        assert sample.keypoints_px[k].tolist() == pytest.approx(flat[0, place].tolist(), abs=1e-2)
        assert sample.joints_m[k].tolist() == pytest.approx(((solid[0, place] - solid[0, 4]) / 1000).tolist(), abs=1e-4)
    assert sample.focal_px == pytest.approx(FOCAL, rel=1e-3)
    with pytest.raises(UserError, match=r"S2 contains no Seq1/annot\.mat"):
        len(MpiInf3dhp(str(tmp_path), subjects=[2]))
    scipy.io.savemat(path, {"annot2": cells[0]})
    with pytest.raises(UserError, match="has no array annot3"):
        len(MpiInf3dhp(str(tmp_path), subjects=[1]))


def test_fit_focal_px_rejects_inconsistent_joints():
    flat, solid = project_person(17)
    assert fit_focal_px(flat, solid, "x") == pytest.approx(FOCAL)
    with pytest.raises(UserError, match="2D and 3D joints of x do not belong together"):
        fit_focal_px(flat[::-1].copy(), solid, "x")

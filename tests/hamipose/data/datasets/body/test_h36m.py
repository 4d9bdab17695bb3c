"""Human3.6M in both formats: JSON and images; CDF, MATLAB 7.3 and mp4."""

import json
import logging
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hamipose.data import Human36M, Human36MOfficial
from hamipose.data.datasets.body.h36m import H36M17, body16_from_h36m, project
from hamipose.data.datasets.body.h36m_official import H36M17_OF_32
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.io.image_file import UnreadableImage
from hamipose.skeletons import BODY16, COCO17

WIDTH, HEIGHT = 300, 280
CAMERA = {  # faces along the world's y axis, z up
    "R": [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
    "t": [0.0, 900.0, 4000.0],
    "f": [330.0, 331.0],
    "c": [150.5, 139.0],
}
LEFT, RIGHT = BODY16.index("left_wrist"), BODY16.index("right_wrist")


def pose(seed: int) -> np.ndarray:
    """Return 17 joints in mm of an upright person who faces the camera; the left wrist has a larger x."""
    rng = np.random.default_rng(seed)
    joints = rng.uniform(-250, 250, (17, 3)) + np.array([0, 0, 900])
    joints[H36M17.index("left_wrist")] = (600, 0, 1000)
    joints[H36M17.index("right_wrist")] = (-600, 0, 1000)
    return joints


def draw_image(left_wrist_px: np.ndarray) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    x, y = (int(v) for v in left_wrist_px.round())
    cv2.circle(image, (x, y), 6, (0, 0, 255), -1)  # red, in OpenCV's order
    return image


def redness(image: np.ndarray, point: np.ndarray) -> int:
    x, y = point.round().astype(int)
    pixel = image[y, x].astype(int)
    return int(pixel[0] - pixel[1:].max())


def test_body16_mapping_equals_published():
    published = [3, 2, 1, 4, 5, 6, 0, 11, 8, 10, 16, 15, 14, 11, 12, 13]
    joints = np.random.default_rng(0).normal(size=(5, 17, 3))
    expected = joints[:, published]
    expected[:, 7] = 0.5 * (expected[:, 12] + expected[:, 13])
    assert np.allclose(body16_from_h36m(joints), expected)
    unused = {4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31}  # joints that VideoPose3D removes
    assert list(H36M17_OF_32) == sorted(set(range(32)) - unused)


def test_project_equals_opencv():
    points = np.random.default_rng(0).normal(size=(7, 3)) * 300
    rotation, _ = cv2.Rodrigues(np.array([0.1, -0.3, 0.2]))
    translation, focal, center = np.array([10.0, 20, 4000]), np.array([1100.0, 1120]), np.array([500.0, 510])
    matrix = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
    expected, _ = cv2.projectPoints(points, rotation, translation, matrix, None)
    assert np.allclose(project(points, rotation, translation, focal, center), expected[:, 0], atol=1e-9)


# --- JSON format


def write_json(root: Path, subjects: tuple[int, ...] = (1, 5, 6, 7, 8, 9, 11), count: int = 12) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        images, annotations, poses = [], [], {}
        folder = root / "images" / f"s_{subject:02d}_act_02_subact_01_ca_01"
        folder.mkdir(parents=True, exist_ok=True)
        for frame in range(count):
            world = pose(100 * subject + frame)
            poses[str(frame)] = world.tolist()
            body = project_body16(subject, frame)
            name = f"{folder.name}/{folder.name}_{frame + 1:06d}.jpg"
            number = 1000 * subject + frame
            size = {"width": WIDTH, "height": HEIGHT, "subject": subject, "action_name": "Directions"}
            place = {"action_idx": 2, "subaction_idx": 1, "cam_idx": 1, "frame_idx": frame}
            images.append({"id": number, "file_name": name, **size, **place})
            low, high = body.min(0), body.max(0)
            annotations.append({"id": number, "image_id": number, "bbox": [*low.tolist(), *(high - low).tolist()]})
            if frame % 5 == 0:
                cv2.imwrite(str(root / "images" / name), draw_image(body[LEFT]), [cv2.IMWRITE_JPEG_QUALITY, 95])
        contents = {
            "data": {"images": images, "annotations": annotations},
            "camera": {"1": CAMERA},
            "joint_3d": {"2": {"1": poses}},
        }
        for kind, content in contents.items():
            (root / "annotations" / f"Human36M_subject{subject}_{kind}.json").write_text(json.dumps(content))


def project_body16(subject: int, frame: int) -> np.ndarray:
    """Project BODY16 joint by joint, by the definition."""
    world = pose(100 * subject + frame)
    world = np.concatenate([world, (world[[11]] + world[[14]]) / 2])  # a thorax
    order = [3, 2, 1, 4, 5, 6, 0, 17, 8, 10, 16, 15, 14, 11, 12, 13]
    points = []
    for joint in world[order]:
        inside = np.array(CAMERA["R"]) @ joint + CAMERA["t"]
        points.append([CAMERA["f"][a] * inside[a] / inside[2] + CAMERA["c"][a] for a in (0, 1)])
    return np.array(points)


@pytest.fixture(scope="module")
def json_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("h36m")
    write_json(root)
    return root


def test_json_strict_protocol(json_root: Path):
    train, test = Human36M(str(json_root)), Human36M(str(json_root), split="test", frame_stride=5)
    assert len(Human36M(str(json_root), split="test")) == 2  # every 64th frame
    train.prepare()
    assert (len(train), len(test)) == (5 * 3, 2 * 3)  # images 0, 5 and 10 of 12
    names = {Path(d[i].name).name for d in (train, test) for i in range(len(d))}
    assert len(names) == 21  # each image once, and on one side only
    sample = test[4]
    assert sample.name.endswith("s_11_act_02_subact_01_ca_01_000006.jpg")
    body = project_body16(11, 5)
    assert np.allclose(sample.keypoints_px, body, atol=1e-3)
    assert (sample.visibility == 2).all()
    assert redness(sample.image, sample.keypoints_px[LEFT]) > 100
    assert redness(sample.image, sample.keypoints_px[RIGHT]) < 50
    low, high = body.min(0), body.max(0)
    assert np.allclose(sample.box_px[2:], 1.25 * (high - low), atol=1e-2)
    assert np.allclose(sample.box_px[:2] + sample.box_px[2:] / 2, (low + high) / 2, atol=1e-2)


def test_json_paper_protocol(json_root: Path):
    test = Human36M(str(json_root), split="test", protocol="paper")
    assert len(test) == 3200
    kept = [(s, f) for s in (9, 11) for f in (0, 5, 10)]
    random.seed(42)
    expected = random.choices(kept, k=3200)
    for index in (0, 1, 2, 3199):
        subject, frame = expected[index]
        sample = test[index]
        assert sample.name.endswith(f"s_{subject:02d}_act_02_subact_01_ca_01_{frame + 1:06d}.jpg")
        body = project_body16(subject, frame)
        side = round(1.5 * float(np.ptp(body, axis=0).max()))
        assert sample.box_px[2:].tolist() == [min(side, HEIGHT)] * 2
        in_crop = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
        assert np.allclose(in_crop, (body - sample.box_px[:2]) * 256 / sample.box_px[2], atol=1e-2)
    train = Human36M(str(json_root), protocol="paper")
    assert len(train) == 15


def test_large_images_are_decoded_reduced(json_root: Path):
    for protocol in ("strict", "paper"):
        full, small = (Human36M(str(json_root), protocol=protocol) for _ in range(2))
        small.decode_side = 40
        a, b = full[3], small[3]
        assert b.image.shape == (HEIGHT // 2, WIDTH // 2, 3)
        placed = [apply_points(crop_matrix(s.box_px, 256), s.keypoints_px.astype(float)) for s in (a, b)]
        assert np.allclose(*placed, atol=1e-2)


def test_other_skeletons_are_mapped_by_name(json_root: Path):
    sample = Human36M(str(json_root), skeleton="coco17")[0]
    assert np.allclose(sample.keypoints_px[COCO17.index("left_wrist")], project_body16(1, 0)[LEFT], atol=1e-3)
    assert sample.visibility[COCO17.index("nose")] == 0


def test_malformed_json_is_rejected(tmp_path: Path):
    def error(kind: str, change: Any, **options: Any) -> str:
        write_json(tmp_path, subjects=(9, 11), count=6)
        path = tmp_path / "annotations" / f"Human36M_subject11_{kind}.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content)))
        with pytest.raises(UserError) as error:
            Human36M(str(tmp_path), split="test", frame_stride=5, **options).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    def without(content: dict, key: str) -> dict:
        del content[key]
        return content

    assert "subject11_data.json lacks 'images'" in error("data", lambda c: without(c, "images"))
    assert "contains no images" in error("data", lambda c: {**c, "images": []})  # zero persons
    assert "subject11_joint_3d.json lacks '5'" in error("joint_3d", lambda c: {"2": {"1": without(c["2"]["1"], "5")}})
    assert "subject11_joint_3d.json have shape (16, 3)" in error(
        "joint_3d", lambda c: {"2": {"1": {k: v[:16] for k, v in c["2"]["1"].items()}}}
    )
    assert "subject11_joint_3d.json has an unexpected format" in error(
        "joint_3d", lambda c: {"2": {"1": {k: [["x"] * 3] * 17 for k in c["2"]["1"]}}}
    )
    assert "subject11_camera.json lacks '1'" in error("camera", lambda c: without(c, "1"))
    assert "subject11_camera.json has an unexpected format" in error("camera", lambda c: {"1": {**c["1"], "t": [1.0]}})
    assert "has no bbox for image s_11" in error("data", lambda c: {**c, "annotations": c["annotations"][1:]})
    assert "lacks 'width'" in error("data", lambda c: {**c, "images": [without(i, "width") for i in c["images"]]})
    write_json(tmp_path, subjects=(9, 11), count=6)
    cv2.imwrite(
        str(tmp_path / "images/s_11_act_02_subact_01_ca_01/s_11_act_02_subact_01_ca_01_000001.jpg"), np.zeros((9, 9, 3))
    )
    with pytest.raises(UnreadableImage, match="is 9 x 9, labels are for 300 x 280"):
        Human36M(str(tmp_path), split="test", frame_stride=5)[2]
    (tmp_path / "annotations" / "Human36M_subject9_camera.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        Human36M(str(tmp_path), split="test").prepare()
    with pytest.raises(UserError, match=r"subject1_camera.json cannot be read"):
        Human36M(str(tmp_path)).prepare()
    with pytest.raises(UserError, match="split of Human36M is 'val'"):
        Human36M(str(tmp_path), split="val")


# --- official format


def official_pose(frame: int) -> np.ndarray:
    """Return 32 joints in pixels; in frame t they are shifted to the right by 3 t pixels."""
    joints = np.random.default_rng(5).uniform(80, 140, (32, 2))
    joints[H36M17_OF_32[H36M17.index("left_wrist")]] = (180, 110)
    joints[H36M17_OF_32[H36M17.index("right_wrist")]] = (40, 110)
    return joints + np.array([3 * frame, 0])


def write_official(root: Path, subject: int, stem: str, count: int = 21) -> dict[str, Path]:
    import h5py
    from cdflib.cdfwrite import CDF

    paths = {
        "cdf": root / f"S{subject}/MyPoseFeatures/D2_Positions/{stem}.cdf",
        "video": root / f"S{subject}/Videos/{stem}.mp4",
        "boxes": root / f"S{subject}/MySegmentsMat/ground_truth_bb/{stem}.mat",
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    joints = np.stack([official_pose(t) for t in range(count)]).astype(np.float32)
    write_cdf(CDF, paths["cdf"], joints.reshape(1, count, 64))
    writer = cv2.VideoWriter(str(paths["video"]), cv2.VideoWriter_fourcc(*"mp4v"), 50, (WIDTH, HEIGHT))
    for person in joints:
        writer.write(draw_image(person[H36M17_OF_32[H36M17.index("left_wrist")]]))
    writer.release()
    with h5py.File(paths["boxes"], "w") as file:
        group = file.create_group("#refs#")
        references = []
        for t in range(count):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[60:160, 30 + 3 * t : 200 + 3 * t] = 1
            references.append(group.create_dataset(f"m{t}", data=mask.T).ref)  # columns first
        file.create_dataset("Masks", data=np.array(references, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
    return paths


def write_cdf(writer: Any, path: Path, pose: np.ndarray, name: str = "Pose") -> None:
    path.unlink(missing_ok=True)
    file = writer(path, cdf_spec={"Majority": "row_major"})
    kind = {"float32": 44, "float64": 45, "int32": 4}[str(pose.dtype)]
    spec = {"Variable": name, "Data_Type": kind, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": list(pose.shape[1:])}
    file.write_var(spec, var_data=pose)
    file.close()


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("official")
    for subject in (9, 11):
        write_official(root, subject, "Directions 1.54138969")
    write_official(root, 9, "Greeting.55011271")  # shifted labels
    write_official(root, 11, "Walking.54138969")["video"].unlink()
    return root


def test_official_strict_protocol(official: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    dataset = Human36MOfficial(str(official), split="test", frame_stride=5, index=str(tmp_path))
    with caplog.at_level(logging.INFO, "hamipose"):
        dataset.prepare()
    expected = "10 frames of 2 videos; skipped: 1 labels without a video, 1 shifted labels of subject 9"
    assert expected in caplog.text
    assert len(dataset) == 10
    for index in (9, 0, 3):
        sample = dataset[index]
        subject, number = (9, 11)[index // 5], 5 * (index % 5)
        assert sample.name == f"{official}/S{subject}/Videos/Directions 1.54138969.mp4#{number}"
        seventeen = official_pose(number)[list(H36M17_OF_32)]
        assert np.allclose(sample.keypoints_px, body16_from_h36m(seventeen), atol=1e-3)
        assert redness(sample.image, sample.keypoints_px[LEFT]) > 100
        assert redness(sample.image, sample.keypoints_px[RIGHT]) < 50
        assert np.allclose(sample.box_px, [30 + 3 * number - 21.25, 60 - 12.5, 212.5, 125], atol=1e-3)
    whole = Human36MOfficial(str(official), split="test", box="image", index=str(tmp_path))
    whole.prepare()
    assert whole[0].box_px.tolist() == [0, 0, WIDTH, HEIGHT]


def test_official_paper_protocol(official: Path, tmp_path: Path):
    dataset = Human36MOfficial(str(official), split="test", protocol="paper", index=str(tmp_path))
    dataset.prepare()
    assert len(dataset) == 3200
    assert len(dataset.index.records) == 15  # including the shifted action
    sample = dataset[17]
    body = body16_from_h36m(official_pose(int(sample.name.rpartition("#")[2]))[list(H36M17_OF_32)])
    assert sample.box_px[2] == round(1.5 * float(np.ptp(body.astype(np.float32), axis=0).max()))
    in_crop = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
    assert np.allclose(in_crop, (body - sample.box_px[:2]) * 256 / sample.box_px[2], atol=1e-2)


def test_malformed_official_files_are_rejected(tmp_path: Path):
    from cdflib.cdfwrite import CDF

    write_official(tmp_path, 9, "Directions.54138969", count=6)
    paths = write_official(tmp_path, 11, "Directions.54138969", count=6)

    def error(**options: Any) -> str:
        with pytest.raises(UserError) as error:
            Human36MOfficial(str(tmp_path), split="test", **options).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    good = np.zeros((1, 6, 64), np.float32)
    write_cdf(CDF, paths["cdf"], good, name="Angles")
    assert "Variable name 'Pose' not found" in error()
    write_cdf(CDF, paths["cdf"], good[..., :34])
    assert "of shape (1, 6, 34), expected finite numbers of 1 × frames × 64" in error()
    write_cdf(CDF, paths["cdf"], good.astype(np.int32))
    assert "is int32 of shape" in error()
    write_cdf(CDF, paths["cdf"], good * np.nan)
    assert "not finite" in error()
    write_cdf(CDF, paths["cdf"], good)
    paths["cdf"].write_bytes(paths["cdf"].read_bytes()[:600])
    assert "buffer is smaller" in error()
    paths["cdf"].write_text("no CDF")
    assert "expected a CDF file" in error()
    paths = write_official(tmp_path, 11, "Directions.54138969", count=6)
    paths["boxes"].write_bytes(paths["boxes"].read_bytes()[:300])
    assert "box file" in error()
    paths["boxes"].unlink()
    assert "set box: image" in error()
    assert "contains no MyPoseFeatures" in error_of_train(tmp_path)
    paths["video"].write_bytes(paths["video"].read_bytes()[:100])
    dataset = Human36MOfficial(str(tmp_path), split="test", frame_stride=5, box="image")
    dataset.prepare()
    with pytest.raises(UnreadableImage, match="is truncated, not a video"):
        dataset[len(dataset) - 1]


def error_of_train(root: Path) -> str:
    with pytest.raises(UserError) as error:
        Human36MOfficial(str(root)).prepare()
    return str(error.value)


def test_empty_mask_is_rejected(tmp_path: Path):
    import h5py

    for subject in (9, 11):
        paths = write_official(tmp_path, subject, "Directions.54138969", count=6)
    with h5py.File(paths["boxes"], "r+") as file:
        file["#refs#/m5"][...] = 0
    with pytest.raises(UserError, match=r"mask 5 in .* is empty"):
        Human36MOfficial(str(tmp_path), split="test", frame_stride=5).prepare()

"""SURREAL in both formats: JSON lists and crops; mp4 videos and MATLAB files."""

import json
import logging
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.data import DomainAdaptation, Prepared, Surreal, SurrealRaw, Video
from hamipose.data.catalog.prepare import prepare
from hamipose.data.datasets.body.frame_index import record_dtype
from hamipose.data.datasets.body.surreal import SMPL24, mirrored_smpl
from hamipose.data.datasets.body.surreal_raw import find_usable_frames, is_broken_subject, iterate_frames
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import warp_crop
from hamipose.io.image_file import UnreadableImage
from hamipose.skeletons import BODY16

# The mapping of RegDA and UniFrame, and, except for the thorax (6 there), of SURREAL's own training code, from 0.
PUBLISHED = (7, 4, 1, 2, 5, 8, 0, 9, 12, 15, 20, 18, 13, 14, 19, 21)
AUTHORS = (7, 4, 1, 2, 5, 8, 0, 6, 12, 15, 20, 18, 16, 17, 19, 21)
RED = (255, 0, 0)


def draw_image(left_wrist: tuple[int, int], joints: np.ndarray, width: int = 320, height: int = 240) -> np.ndarray:
    """Draw an RGB image with a gray dot at each joint and a red one at the wrist that looks like the left one."""
    image = np.full((height, width, 3), 30, np.uint8)
    for x, y in joints.round().astype(int):
        cv2.circle(image, (int(x), int(y)), 3, (150, 150, 150), -1)
    cv2.circle(image, left_wrist, 6, RED, -1)
    return image


def body(x: float = 160, y: float = 120) -> np.ndarray:
    """Return 24 joints around a point, in whole pixels, with the wrists far from all others."""
    joints = np.random.default_rng(3).integers(-30, 30, (24, 2)).astype(np.float32)
    joints[SMPL24.index("left_wrist")] = (-50, 0)
    joints[SMPL24.index("right_wrist")] = (50, 0)
    return joints + np.array([x, y], np.float32)


def redness(image: np.ndarray, point: np.ndarray) -> int:
    x, y = point.round().astype(int)
    pixel = image[y, x].astype(int)
    return int(pixel[0] - pixel[1:].max())


# --- the joints


def test_mirrored_smpl_of_both_protocols():
    assert tuple(mirrored_smpl("paper")) == PUBLISHED
    strict = mirrored_smpl("strict")
    thorax = BODY16.index("thorax")
    assert [j for k, j in enumerate(strict) if k != thorax] == [j for k, j in enumerate(AUTHORS) if k != thorax]
    differ = [BODY16.keypoints[k] for k in range(16) if strict[k] != PUBLISHED[k]]
    assert differ == ["right_shoulder", "left_shoulder"]


def test_published_camera_mirrors():
    """SURREAL's camera matrix has determinant −1, so left joints fill right keypoints."""
    camera_from_blender = np.diag([1.0, -1.0, -1.0])
    blender_camera = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0.0]])  # axes, as columns; getExtrinsicBlender.m
    assert np.linalg.det(camera_from_blender @ blender_camera.T) == pytest.approx(-1)


# --- as processed for RegDA


def write_processed(root: Path, count: int = 10, side: int = 150) -> np.ndarray:
    joints = np.stack([body(75 + i, 75) for i in range(count)])
    for split in ("train", "test"):
        for run in ("run0", "run1", "run2"):
            (root / split / run).mkdir(parents=True)
            for i in range(count):
                seen = tuple(int(v) for v in joints[i, SMPL24.index("right_wrist")])
                path = str(root / split / run / f"{i}.jpg")
                cv2.imwrite(path, draw_image(seen, joints[i], side, side)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            entries = [{"name": f"{i}.jpg", "keypoint2d": j.tolist()} for i, j in enumerate(joints)]
            (root / split / f"{run}.json").write_text(json.dumps(entries))
    return joints


def test_processed_set_follows_the_published_split(tmp_path: Path):
    joints = write_processed(tmp_path)
    for protocol, order in (("strict", mirrored_smpl("strict")), ("paper", PUBLISHED)):
        train, test = (Surreal(str(tmp_path), split=s, protocol=protocol) for s in ("train", "test"))
        train.prepare()
        assert (len(train), len(test)) == (24, 6)  # a fifth is held out
        sample = train[5]
        person = joints[int(Path(sample.name).stem)][list(order)]
        if protocol == "paper":
            in_crop = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
            assert np.allclose(in_crop, person * 256 / 150, atol=1e-3)
        else:
            assert np.allclose(sample.keypoints_px, person)
        assert (sample.visibility == 2).all()
        assert sample.box_px.tolist() == [0, 0, 150, 150]
        # The image is mirrored: the red wrist looks like a left one, and is SMPL's right one.
        view = warp_crop(sample.image, crop_matrix(sample.box_px, 256), 256)
        at = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
        assert redness(view, at[BODY16.index("left_wrist")]) > 100
        assert redness(view, at[BODY16.index("right_wrist")]) < 50


def test_malformed_lists_are_rejected(tmp_path: Path):
    write_processed(tmp_path, count=5)

    def error(entries: object) -> str:
        (tmp_path / "train" / "run1.json").write_text(json.dumps(entries))
        with pytest.raises(UserError) as error:
            Surreal(str(tmp_path)).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "'keypoint2d' is missing" in error([{"name": "0.jpg"}])
    assert "has shape (1, 2, 2), expected people x 24 x 2" in error([{"name": "a", "keypoint2d": [[1, 2], [3, 4]]}])
    assert "has an unexpected format" in error([{"name": "a", "keypoint2d": [["x", "y"]] * 24}])
    assert "not finite" in error([{"name": "a", "keypoint2d": [[float("nan"), 0]] * 24}])
    assert "expected people x 24 x 2" in error([])  # zero persons
    (tmp_path / "train" / "run1.json").write_text("[")
    with pytest.raises(UserError, match=r"run1.json is not valid JSON"):
        Surreal(str(tmp_path)).prepare()
    (tmp_path / "train" / "run1.json").unlink()
    with pytest.raises(UserError, match=r"run1.json cannot be read"):
        Surreal(str(tmp_path)).prepare()
    with pytest.raises(UserError, match="expected one of train, val, test"):
        Surreal(str(tmp_path), split="all")


# --- the official release


def write_clip(root: Path, clip: str, count: int, joints: np.ndarray | None = None) -> np.ndarray:
    """Write a clip in which the person moves to the right by 3 pixels per frame."""
    info = root / f"{clip}_info.mat"
    info.parent.mkdir(parents=True, exist_ok=True)
    placed = np.stack([body(100 + 3 * t) for t in range(count)]) if joints is None else joints
    writer = cv2.VideoWriter(str(root / f"{clip}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (320, 240))
    for person in placed:
        seen = tuple(int(v) for v in person[SMPL24.index("right_wrist")])
        writer.write(np.ascontiguousarray(draw_image(seen, person)[..., ::-1]))
    writer.release()
    array = placed.transpose(2, 1, 0).astype(np.float32)
    content = {"joints2D": array[..., 0] if count == 1 else array, "joints3D": np.zeros((3, 24, count), np.float32)}
    scipy.io.savemat(info, {**content, "zrot": np.zeros((count, 1))}, do_compression=True)
    return placed


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("surreal")
    write_clip(root, "train/run0/01_01/01_01_c0001", 12)
    write_clip(root, "train/run0/01_01/01_01_c0002", 1)  # MATLAB drops the last axis
    write_clip(root, "train/run1/ung_143_21/ung_143_21_c0001", 3)  # a broken subject
    write_clip(root, "train/run1/19_04/19_04_c0001", 3)  # another
    strange = np.stack([body(100 + 3 * t) for t in range(6)])
    strange[1] = (0, 238)  # no person
    strange[3] += 300  # outside the image
    strange[4, 0] = np.nan
    write_clip(root, "train/run2/02_01/02_01_c0001", 6, np.nan_to_num(strange))
    array = scipy.io.loadmat(root / "train/run2/02_01/02_01_c0001_info.mat")["joints2D"]
    array[:, 0, 4] = np.nan
    scipy.io.savemat(root / "train/run2/02_01/02_01_c0001_info.mat", {"joints2D": array})
    (root / "train/run2/02_01/02_01_c0002_info.mat").write_bytes(b"")  # without a video
    return root


def test_raw_set_reads_usable_frames(release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    dataset = SurrealRaw(str(release), index=str(tmp_path))
    with caplog.at_level(logging.INFO, "hamipose"):
        dataset.prepare()
    assert "16 frames of 3 clips; skipped: 2 clips of broken subjects, 1 clips without a video, 3 fr" in caplog.text
    assert len(caplog.records) == 1
    assert len(dataset) == 12 + 1 + 3
    for index in (0, 7, 3, 11, 12, 13, 15):
        sample = dataset[index]
        number = int(sample.name.rpartition("#")[2])
        assert number == [*range(12), 0, 0, 2, 5][index]
        joints = body(100 + 3 * number)
        assert np.allclose(sample.keypoints_px, joints[mirrored_smpl("strict")])
        # frame-accurate: one frame off would put the wrist three pixels beside the middle of the dot …
        column = sample.image[int(joints[21, 1]), :, 0].astype(int) - sample.image[int(joints[21, 1]), :, 1]
        assert np.flatnonzero(column > 90).mean() == pytest.approx(joints[21, 0], abs=1.2)
        # … and the viewer's left wrist is the red one.
        assert redness(sample.image, sample.keypoints_px[BODY16.index("left_wrist")]) > 100
        assert redness(sample.image, sample.keypoints_px[BODY16.index("right_wrist")]) < 50
        left, top, width, height = sample.box_px
        assert width == pytest.approx(1.25 * np.ptp(joints[:, 0]))
        assert ((joints > (left, top)) & (joints < (left + width, top + height))).all()


def test_sequential_reading_decodes_each_frame_once(release: Path, tmp_path: Path):
    dataset = SurrealRaw(str(release), index=str(tmp_path))
    dataset.prepare()
    for index in range(12):
        dataset[index]
    assert dataset._decoder.decoded == 12
    before = dataset._decoder.decoded
    dataset[5]  # backwards: restarts decoding
    assert dataset._decoder.decoded - before == 6


def test_iterate_frames_yields_usable_frames_in_order(release: Path, tmp_path: Path):
    frames = list(iterate_frames(str(release), index=str(tmp_path)))
    dataset = SurrealRaw(str(release), index=str(tmp_path))
    assert [name for *_, name in frames] == [dataset[i].name for i in range(len(dataset))]
    for (image, joints, _), index in zip(frames, range(len(dataset)), strict=True):
        assert np.array_equal(image, dataset[index].image)
        assert np.allclose(joints[mirrored_smpl("strict")], dataset[index].keypoints_px)
    assert len(list(iterate_frames(str(release), frame_stride=4, index=str(tmp_path)))) == 3 + 1 + 1


def test_raw_set_follows_the_paper_protocol(release: Path, tmp_path: Path):
    dataset = SurrealRaw(str(release), protocol="paper", index=str(tmp_path))
    dataset.prepare()
    assert len(dataset) == 16 - 3
    strict = SurrealRaw(str(release), index=str(tmp_path))
    sample = dataset[2]
    number = int(sample.name.rpartition("#")[2])
    joints = body(100 + 3 * number)
    side = round(1.5 * float(np.ptp(joints, axis=0).max()))
    assert sample.box_px[2:].tolist() == [side, side]
    in_crop = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
    assert np.allclose(in_crop, (joints[list(PUBLISHED)] - sample.box_px[:2]) * 256 / side, atol=1e-3)
    assert {dataset[i].name for i in range(13)} < {strict[i].name for i in range(16)}


def test_index_is_memory_mapped(release: Path, tmp_path: Path):
    dataset = SurrealRaw(str(release), index=str(tmp_path))
    dataset.prepare()
    assert isinstance(dataset.index.records, np.memmap)
    per_sample = record_dtype(24).itemsize
    assert per_sample == 216
    assert per_sample * 6_500_000 < 1.5e9  # on disk; a process loads only the pages that it reads
    header = (dataset.index.folder / "rows.npy").stat().st_size - per_sample * len(dataset)
    assert 0 < header < 512
    # The pickled data set does not grow with the number of frames.
    assert len(pickle.dumps(dataset)) < 3000
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy[3].name == dataset[3].name
    # It is built once, and again for other settings.
    made = (dataset.index.folder / "rows.npy").stat().st_mtime_ns
    SurrealRaw(str(release), index=str(tmp_path)).prepare()
    assert (dataset.index.folder / "rows.npy").stat().st_mtime_ns == made
    with pytest.raises(UserError, match=r"index .* is missing or was built with other settings; call prepare"):
        len(SurrealRaw(str(release), index=str(tmp_path / "elsewhere")))


def test_worker_processes_read_the_right_frames(release: Path, tmp_path: Path):
    """Workers are forked from a process with open videos."""
    source = SurrealRaw(str(release), index=str(tmp_path))
    target = Video(str(release / "train/run0/01_01/01_01_c0001.mp4"))
    data = DomainAdaptation(
        source,
        target,
        image_size=64,
        batch_size=8,
        steps_per_epoch=3,
        num_workers=2,
        source_views="none",
        student_views="none",
    )
    data.prepare_data()
    source[3], target[3]  # open in this process
    data.setup("fit")
    for batch in data.train_dataloader():
        for image, keypoints_px, name in zip(
            batch.source.image, batch.source.keypoints_px, batch.source.name, strict=True
        ):
            assert name in {source[i].name for i in range(16)}
            assert redness(image.permute(1, 2, 0).numpy(), keypoints_px[BODY16.index("left_wrist")].numpy()) > 60
        assert batch.target is not None
        assert all(name.startswith(f"{target.path}#") for name in batch.target.name)


def test_prepared_set_equals_the_videos(release: Path, tmp_path: Path):
    """Preparation decodes each frame once, crops and packs it."""
    shutil.copytree(release, tmp_path / "raw")
    for protocol, count in (("strict", 16), ("paper", 13)):
        prepare("surreal", str(tmp_path / "raw"), str(tmp_path / "out"), protocol, ["train"], workers=0, progress=False)
        packed = Prepared(str(tmp_path / "out"), protocol=protocol)
        raw = SurrealRaw(str(tmp_path / "raw"), protocol=protocol)
        packed.prepare()
        assert len(packed) == len(raw) == count
        for index in (0, 9, 12):
            placed = [
                apply_points(crop_matrix(s.box_px, 256), s.keypoints_px.astype(float))
                for s in (packed[index], raw[index])
            ]
            assert np.allclose(*placed, atol=1e-2)
            sample = packed[index]
            assert redness(sample.image, sample.keypoints_px[BODY16.index("left_wrist")]) > 100


def test_incomplete_index_is_rebuilt(release: Path, tmp_path: Path):
    unfinished = tmp_path / "train-every1.part"
    unfinished.mkdir()
    (unfinished / "rows.raw").write_bytes(b"half")
    dataset = SurrealRaw(str(release), index=str(tmp_path))
    assert not dataset.index.exists()
    dataset.prepare()
    assert len(dataset) == 16
    assert not unfinished.exists()


def test_malformed_releases_are_rejected(tmp_path: Path):
    info = tmp_path / "train/run0/01_01/01_01_c0001_info.mat"
    write_clip(tmp_path, "train/run0/01_01/01_01_c0001", 4)

    def error() -> str:
        with pytest.raises(UserError) as error:
            SurrealRaw(str(tmp_path)).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    whole = info.read_bytes()
    scipy.io.savemat(info, {"joints3D": np.zeros((3, 24, 4))})
    assert "has no array joints2D" in error()
    scipy.io.savemat(info, {"joints2D": np.zeros((2, 17, 4))})
    assert "of shape (2, 17, 4), expected numbers of shape 2 x 24 x frames" in error()
    scipy.io.savemat(info, {"joints2D": np.full((2, 24, 4), "x", object)})
    assert "joints2D in" in error()
    info.write_bytes(whole[:200])
    assert "is cut short, damaged or not a MATLAB file (200 bytes)" in error()
    scipy.io.savemat(info, {"joints2D": np.zeros((2, 24, 4))})
    assert "none of the clips has a usable frame" in error()  # zero persons
    with pytest.raises(UserError, match=r"contains no run0/<sequence>"):
        SurrealRaw(str(tmp_path), split="val").prepare()
    # The info file has more frames than the video.
    scipy.io.savemat(info, {"joints2D": np.stack([body(100 + 3 * t) for t in range(9)]).transpose(2, 1, 0)})
    dataset = SurrealRaw(str(tmp_path))
    dataset.prepare()
    with pytest.raises(UnreadableImage, match="has 4 frames, frame 8 was requested"):
        dataset[8]
    assert dataset[2].image.shape == (240, 320, 3)  # other frames can still be read
    video = info.with_name("01_01_c0001.mp4")
    video.write_bytes(video.read_bytes()[:300])
    with pytest.raises(UnreadableImage, match="is truncated, not a video"):
        SurrealRaw(str(tmp_path))[1]


def test_broken_subjects_are_recognized():
    for name in ("18_01", "19_15", "143_21", "ung_143_21", "ung_18_02"):
        assert is_broken_subject(name)
    for name in ("118_01", "143_22", "ung_104_46", "01_18", "180_01"):
        assert not is_broken_subject(name)


def test_frame_with_half_of_the_joints_inside_is_usable():
    joints = np.stack([body(), body(), body(), body()])
    joints[3, :, 0] = 7  # all joints on a line
    joints[1, :12] += 1000
    joints[2, :13] += 1000
    assert find_usable_frames(joints).tolist() == [True, True, False, False]

"""Each data set against files written in its native layout, and, where they are at hand, against the real ones."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.data import CocoKeypoints, ImageFolder, LeedsSports, LeedsSportsExtended, Surreal, Unlabelled
from hamipose.data.base import KeypointDataset, UnlabelledDataset
from hamipose.data.unlabelled import unlabelled
from hamipose.errors import InputError
from hamipose.skeletons import BODY16, COCO17, LSP14
from hamipose.types import Sample, UnlabelledSample

REAL = Path(__file__).parents[3].parent / "shared" / "data"


def picture(path: Path, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))


@pytest.fixture
def lsp(tmp_path: Path) -> tuple[Path, np.ndarray]:
    joints = np.random.default_rng(0).uniform(1, 29, (3, 14, 2000))
    joints[2] = np.arange(14)[:, None] % 2
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for i in (1, 1000, 1001, 2000):
        picture(tmp_path / "images" / f"im{i:04d}.jpg")
    return tmp_path, joints


def test_lsp_native_layout(lsp: tuple[Path, np.ndarray]):
    root, joints = lsp
    train, test, whole = (LeedsSports(str(root), split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(whole)) == (1000, 1000, 2000)
    for dataset in (train, test, whole):
        dataset.prepare()
    first = test[0]
    assert first.name.endswith("im1001.jpg")
    for name in LSP14.keypoints:
        source, ours = LSP14.index(name), BODY16.index(name)
        assert np.allclose(first.keypoints_px[ours], joints[:2, source, 1000], atol=1e-4)
        assert first.visibility[ours] == (1 if source % 2 else 2)  # flag 1: occluded, yet labelled
    for name in ("pelvis", "thorax"):
        assert first.visibility[BODY16.index(name)] == 0
    assert first.box_px.tolist() == [0, 0, 40, 30]


def test_lsp_extended_native_layout(tmp_path: Path):
    joints = np.random.default_rng(0).uniform(1, 29, (14, 3, 4000))
    joints[:, 2] = (np.arange(14) % 2)[:, None]
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for i in (1, 3600, 3601, 4000):
        picture(tmp_path / "images" / f"im{i:05d}.jpg")
    train, test = LeedsSportsExtended(str(tmp_path)), LeedsSportsExtended(str(tmp_path), split="test")
    assert (len(train), len(test)) == (3600, 400)
    train.prepare(), test.prepare()
    last = test[399]
    assert last.name.endswith("im04000.jpg")
    knee = LSP14.index("right_knee")
    assert np.allclose(last.keypoints_px[BODY16.index("right_knee")], joints[knee, :2, 3999], atol=1e-4)
    assert last.visibility[BODY16.index("right_knee")] == 2  # flag 1: labelled
    assert last.visibility[BODY16.index("right_ankle")] == 0
    assert len(LeedsSportsExtended(str(tmp_path), train_count=100)) == 100


@pytest.mark.parametrize("content", [np.zeros((14, 3, 2000)), np.zeros((3, 16, 5)), np.zeros((3, 14))])
def test_an_annotation_file_of_another_shape_is_refused(tmp_path: Path, content: np.ndarray):
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": content})
    with pytest.raises(InputError, match=r"has shape \(.*expected 3 x 14 x people"):
        len(LeedsSports(str(tmp_path)))


def test_missing_files_are_named(tmp_path: Path, lsp: tuple[Path, np.ndarray]):
    with pytest.raises(InputError, match=r"nowhere/joints.mat cannot be read"):
        LeedsSports(str(tmp_path / "nowhere")).prepare()
    (lsp[0] / "images" / "im0001.jpg").unlink()
    with pytest.raises(InputError, match=r"im0001.jpg does not exist"):
        LeedsSports(str(lsp[0])).prepare()
    scipy.io.savemat(tmp_path / "joints.mat", {"points": np.zeros(3)})
    with pytest.raises(InputError, match="no array 'joints'"):
        len(LeedsSports(str(tmp_path)))
    (tmp_path / "joints.mat").write_text("not MATLAB")
    with pytest.raises(InputError, match=r"joints\.mat"):
        len(LeedsSports(str(tmp_path)))


def coco(root: Path, **changes: object) -> Path:
    picture(root / "images" / "a.jpg", 80, 60)
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 80, "height": 60}],
        "annotations": [
            {"id": 3, "image_id": 7, "bbox": [10, 20, 30, 40], "keypoints": list(range(51)), "num_keypoints": 17},
            {"id": 4, "image_id": 7, "bbox": [0, 0, 9, 9], "keypoints": [0] * 51, "num_keypoints": 0},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
        **changes,
    }
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_coco_keypoints_are_found_by_name(tmp_path: Path):
    dataset = CocoKeypoints(str(coco(tmp_path)))
    dataset.prepare()
    assert len(dataset) == 1  # a person without a labelled keypoint is none
    sample = dataset[0]
    wrist = COCO17.index("left_wrist")
    assert sample.keypoints_px[BODY16.index("left_wrist")].tolist() == [3 * wrist, 3 * wrist + 1]
    assert sample.visibility[BODY16.index("left_wrist")] == 3 * wrist + 2
    assert sample.visibility[BODY16.index("thorax")] == 0
    assert sample.box_px.tolist() == [10 - 3.75, 20 - 5, 37.5, 50]
    assert sample.name == f"{tmp_path}/images/a.jpg#3"
    assert CocoKeypoints(str(tmp_path), box="image")[0].box_px.tolist() == [0, 0, 80, 60]


def test_a_large_coco_picture_is_decoded_smaller_with_its_labels(tmp_path: Path):
    coco(tmp_path)
    full, reduced = CocoKeypoints(str(tmp_path)), CocoKeypoints(str(tmp_path))
    reduced.decode_side = 16
    a, b = full[0], reduced[0]
    assert b.image.shape == (30, 40, 3)
    assert np.allclose((b.keypoints_px + 0.5) * 2 - 0.5, a.keypoints_px)
    assert np.allclose(b.box_px * 2, a.box_px)


def test_a_coco_file_of_another_shape_is_refused(tmp_path: Path):
    def told(**changes: object) -> str:
        with pytest.raises(InputError) as error:
            CocoKeypoints(str(coco(tmp_path, **changes))).prepare()
        assert "\n" not in str(error.value)
        return str(error.value)

    short = [{"id": 3, "image_id": 7, "keypoints": [1, 1, 2]}]
    assert "annotation 3" in told(annotations=short)
    assert "3 numbers in keypoints, expected 51" in told(annotations=short)
    assert "does not list" in told(annotations=[{"id": 3, "image_id": 8, "keypoints": [1] * 51}])
    assert "names no keypoints" in told(categories=[])
    assert "none of body16's" in told(categories=[{"keypoints": ["beak", "tail"]}])
    assert "0 labelled people" in told(annotations=[])
    (tmp_path / "annotations.json").write_text("[]")
    with pytest.raises(InputError, match="lacks images"):
        CocoKeypoints(str(tmp_path)).prepare()
    (tmp_path / "annotations.json").write_text("{")
    with pytest.raises(InputError, match="no valid JSON"):
        CocoKeypoints(str(tmp_path)).prepare()
    with pytest.raises(InputError, match="cannot be read"):
        CocoKeypoints(str(tmp_path / "nowhere")).prepare()
    with pytest.raises(InputError, match="skeleton is 'body', expected one of"):
        CocoKeypoints(str(tmp_path), skeleton="body")


def test_surreal_as_processed_for_regda(tmp_path: Path):
    joints = np.random.default_rng(0).uniform(0, 40, (10, 24, 2)).round(2)
    for run in ("run0", "run1", "run2"):
        for i in range(10):
            picture(tmp_path / "train" / run / f"{i}.jpg")
        entries = [{"name": f"{i}.jpg", "keypoint2d": j.tolist()} for i, j in enumerate(joints)]
        (tmp_path / "train" / f"{run}.json").write_text(json.dumps(entries))
    dataset = Surreal(str(tmp_path))
    dataset.prepare()
    assert len(dataset) == 24  # a fifth is set aside
    sample = dataset[5]
    person = joints[int(Path(sample.name).stem)]
    published = (7, 4, 1, 2, 5, 8, 0, 9, 12, 15, 20, 18, 13, 14, 19, 21)  # tllib's map, left filling right
    assert np.allclose(sample.keypoints_px, person[list(published)])
    assert (sample.visibility == 2).all()


def test_image_folder(tmp_path: Path):
    for name in ("b/2.png", "a/1.jpg"):
        picture(tmp_path / name, 64, 32)
    (tmp_path / "notes.txt").write_text("no picture")
    dataset = ImageFolder(str(tmp_path))
    assert [Path(dataset[i].name).name for i in range(len(dataset))] == ["1.jpg", "2.png"]
    assert dataset[0].box_px.tolist() == [0, 0, 64, 32]
    dataset.decode_side = 16
    assert dataset[0].image.shape == (8, 16, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        ImageFolder(str(tmp_path / "empty")).prepare()
    with pytest.raises(InputError, match="does not exist"):
        ImageFolder(str(tmp_path / "nowhere")).prepare()


def test_unlabelled_leaves_labels_behind(dots: Path):
    labelled = CocoKeypoints(str(dots / "light"))
    target = unlabelled(labelled)
    assert isinstance(target, UnlabelledDataset)
    assert not isinstance(target, KeypointDataset)
    assert isinstance(target, Unlabelled)
    sample = target[0]
    assert type(sample) is UnlabelledSample
    assert not isinstance(sample, Sample)
    assert np.array_equal(sample.image, labelled[0].image)
    assert len(target) == len(labelled)


def test_a_cached_picture_is_read_once(dots: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = CocoKeypoints(str(dots / "light"), cache=True)
    before = dataset[0].image
    monkeypatch.setattr("hamipose.data.base.read_image", lambda *_: pytest.fail("read again"))
    assert np.array_equal(dataset[0].image, before)


@pytest.mark.skipif(not (REAL / "lsp").is_dir(), reason="the LSP photos are not on this machine")
def test_real_lsp():
    train, test = LeedsSports(str(REAL / "lsp")), LeedsSports(str(REAL / "lsp"), split="test")
    for dataset in (train, test):
        dataset.prepare()
        for index in (0, 500, 999):
            sample = dataset[index]
            height, width = sample.image.shape[:2]
            inside = (sample.keypoints_px > -1).all() and (sample.keypoints_px < (width + 1, height + 1)).all()
            assert inside
            assert (sample.visibility > 0).sum() == 14
    # People stand the right way up more often than not: y grows downwards.
    keypoints_px = test.labels[0]
    head, ankle = (keypoints_px[:, BODY16.index(k), 1] for k in ("head", "left_ankle"))
    assert (head < ankle).mean() > 0.8


@pytest.mark.skipif(not (REAL / "lspet").is_dir(), reason="the LSP-Extended photos are not on this machine")
def test_real_lsp_extended():
    train, test = (LeedsSportsExtended(str(REAL / "lspet"), split=s) for s in ("train", "test"))
    assert (len(train), len(test)) == (3600, 400)
    for dataset in (train, test):
        dataset.prepare()
        sample = dataset[0]
        height, width = sample.image.shape[:2]
        seen = sample.keypoints_px[sample.visibility > 0]
        assert (seen > -5).all()
        assert (seen < (width + 5, height + 5)).all()

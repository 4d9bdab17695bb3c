"""Leeds Sports Pose in its official format, and the real files if they are available."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.data import LeedsSports, LeedsSportsExtended
from hamipose.data.base_datamodule import prepare_sets
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.skeletons import BODY16, LSP14

REAL = Path(__file__).parents[6] / "shared" / "data"


def write_image(path: Path, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))


@pytest.fixture
def lsp(tmp_path: Path) -> tuple[Path, np.ndarray]:
    joints = np.random.default_rng(0).uniform(1, 29, (3, 14, 2000))
    joints[2] = np.arange(14)[:, None] % 2
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for i in (1, 1000, 1001, 2000):
        write_image(tmp_path / "images" / f"im{i:04d}.jpg")
    return tmp_path, joints


def test_lsp_reads_official_files(lsp: tuple[Path, np.ndarray]):
    root, joints = lsp
    train, test, whole = (LeedsSports(str(root), split=s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(whole)) == (991, 1000, 2000)
    for dataset in (train, test, whole):
        dataset.prepare()
    first = test[0]
    assert first.name.endswith("im1001.jpg")
    for name in LSP14.keypoints:
        source, k = LSP14.index(name), BODY16.index(name)
        assert np.allclose(first.keypoints_px[k], joints[:2, source, 1000], atol=1e-4)
        assert first.visibility[k] == (1 if source % 2 else 2)  # flag 1: occluded, yet labeled
    for name in ("pelvis", "thorax"):
        assert first.visibility[BODY16.index(name)] == 0
    assert first.box_px.tolist() == [0, 0, 40, 30]


def test_strict_train_excludes_duplicates_of_test(lsp: tuple[Path, np.ndarray]):
    root, joints = lsp
    write_image(root / "images" / "im0176.jpg")
    train = LeedsSports(str(root))
    sample = train[174]  # number 175 is also number 1924
    assert sample.name.endswith("im0176.jpg")
    ankle = LSP14.index("right_ankle")
    assert np.allclose(sample.keypoints_px[BODY16.index("right_ankle")], joints[:2, ankle, 175], atol=1e-4)


def gray(path: Path) -> np.ndarray:
    small = cv2.resize(cv2.imread(str(path), 0), (24, 24), interpolation=cv2.INTER_AREA).astype(float)
    return (small - small.mean()) / np.linalg.norm(small - small.mean())


@pytest.mark.skipif(not (REAL / "lsp").is_dir(), reason="the LSP photos are not on this machine")
@pytest.mark.parametrize(("kind", "digits"), [(LeedsSports, 4), (LeedsSportsExtended, 5)])
def test_duplicates_look_alike(kind: type[LeedsSports] | type[LeedsSportsExtended], digits: int):
    folder = REAL / ("lsp" if kind is LeedsSports else "lspet") / "images"
    similarity = [
        float((gray(folder / f"im{a:0{digits}d}.jpg") * gray(folder / f"im{b:0{digits}d}.jpg")).sum())
        for a, b in kind._duplicates
    ]
    assert np.median(similarity) > 0.94  # crops may differ; the median over random pairs of LSP is 0.02
    assert min(similarity) > 0.5


def test_lsp_extended_reads_official_files(tmp_path: Path):
    joints = np.random.default_rng(0).uniform(1, 29, (14, 3, 4000))
    joints[:, 2] = (np.arange(14) % 2)[:, None]
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for i in (1, 3600, 3601, 4000):
        write_image(tmp_path / "images" / f"im{i:05d}.jpg")
    train, test = LeedsSportsExtended(str(tmp_path)), LeedsSportsExtended(str(tmp_path), split="test")
    assert (len(train), len(test)) == (3598, 400)
    train.prepare(), test.prepare()
    last = test[399]
    assert last.name.endswith("im04000.jpg")
    knee = LSP14.index("right_knee")
    assert np.allclose(last.keypoints_px[BODY16.index("right_knee")], joints[knee, :2, 3999], atol=1e-4)
    assert last.visibility[BODY16.index("right_knee")] == 2  # flag 1: labeled
    assert last.visibility[BODY16.index("right_ankle")] == 0
    assert len(LeedsSportsExtended(str(tmp_path), train_count=100)) == 100


@pytest.mark.parametrize("content", [np.zeros((14, 3, 2000)), np.zeros((3, 16, 5)), np.zeros((3, 14))])
def test_wrong_annotation_shape_is_rejected(tmp_path: Path, content: np.ndarray):
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": content})
    with pytest.raises(UserError, match=r"has shape \(.*expected 3 x 14 x people"):
        len(LeedsSports(str(tmp_path)))


def test_missing_files_are_reported(tmp_path: Path, lsp: tuple[Path, np.ndarray]):
    with pytest.raises(UserError, match=r"nowhere/joints\.mat does not exist; expected"):
        LeedsSports(str(tmp_path / "nowhere")).prepare()
    (lsp[0] / "images" / "im0001.jpg").unlink()
    with pytest.raises(UserError, match=r"im0001.jpg does not exist"):
        LeedsSports(str(lsp[0])).prepare()
    scipy.io.savemat(tmp_path / "joints.mat", {"points": np.zeros(3)})
    with pytest.raises(UserError, match="has no array joints"):
        len(LeedsSports(str(tmp_path)))
    (tmp_path / "joints.mat").write_text("not MATLAB")
    with pytest.raises(UserError, match=r"joints\.mat"):
        len(LeedsSports(str(tmp_path)))


def test_paper_protocol_uses_all_images_and_ignores_hidden_joints(lsp: tuple[Path, np.ndarray]):
    root, joints = lsp
    train, test = (LeedsSports(str(root), split=s, protocol="paper") for s in ("train", "test"))
    assert len(train) == len(test) == 2000
    sample = test[0]
    assert sample.name.endswith("im0001.jpg")
    for name in LSP14.keypoints:
        assert sample.visibility[BODY16.index(name)] == (0 if LSP14.index(name) % 2 else 2)
    # RegDA's ResizePad on a 40 × 30 image: 256 × 192, 32 black pixels above and below; labels without half pixels.
    crop = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
    ankle = BODY16.index("right_ankle")
    assert np.allclose(crop[ankle], joints[:2, 0, 0] * 6.4 + [0, 32], atol=1e-3)


def test_too_few_people_are_rejected(tmp_path: Path):
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": np.zeros((3, 14, 5))})
    with pytest.raises(UserError, match=r"images 1001 to 2000 were requested, but .*/joints.mat has 5 people"):
        len(LeedsSports(str(tmp_path), split="test"))


def test_non_numeric_joints_are_rejected(tmp_path: Path):
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": np.full((3, 14, 5), "x", object)})
    with pytest.raises(UserError, match="contains object, expected numbers"):
        len(LeedsSports(str(tmp_path)))
    with pytest.raises(UserError, match="protocol is 'papers', expected one of strict, paper"):
        LeedsSports(str(tmp_path), protocol="papers")


def test_red_wrist_is_the_left_one(tmp_path: Path):
    """A person who faces the camera has the left wrist at the right of the image; it is red."""
    joints = np.zeros((3, 14, 2000))
    for k, name in enumerate(LSP14.keypoints):
        joints[:2, k] = [[30 if name.startswith("left") else 10], [5 + 3 * (k % 8)]]
    left = joints[:2, LSP14.index("left_wrist"), 0].astype(int)
    image = np.full((40, 40, 3), 128, np.uint8)
    image[left[1] - 1 : left[1] + 2, left[0] - 1 : left[0] + 2] = (0, 0, 255)
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "im0001.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    sample = LeedsSports(str(tmp_path))[0]
    x, y = sample.keypoints_px[BODY16.index("left_wrist")].astype(int)
    red = sample.image[y, x].astype(int)
    assert red[0] - red[1:].max() > 100


@pytest.mark.skipif(not (REAL / "lsp").is_dir(), reason="the LSP photos are not on this machine")
def test_real_lsp():
    train, test = LeedsSports(str(REAL / "lsp")), LeedsSports(str(REAL / "lsp"), split="test")
    for dataset in (train, test):
        dataset.prepare()
        for index in (0, 500, len(dataset) - 1):
            sample = dataset[index]
            height, width = sample.image.shape[:2]
            inside = (sample.keypoints_px > -1).all() and (sample.keypoints_px < (width + 1, height + 1)).all()
            assert inside
            assert (sample.visibility > 0).sum() == 14
    # Most people are upright: y points down.
    keypoints_px = test.labels[0]
    head, ankle = (keypoints_px[:, BODY16.index(k), 1] for k in ("head", "left_ankle"))
    assert (head < ankle).mean() > 0.8


@pytest.mark.skipif(not (REAL / "lspet").is_dir(), reason="the LSP-Extended photos are not on this machine")
def test_real_lsp_extended():
    train, test = (LeedsSportsExtended(str(REAL / "lspet"), split=s) for s in ("train", "test"))
    assert (len(train), len(test)) == (3598, 400)
    for dataset in (train, test):
        dataset.prepare()
        sample = dataset[0]
        height, width = sample.image.shape[:2]
        seen = sample.keypoints_px[sample.visibility > 0]
        assert (seen > -5).all()
        assert (seen < (width + 5, height + 5)).all()


def test_prepare_sets_prints_nothing(lsp: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture):
    """Attributes of a data set must not shadow methods of the base class."""
    prepare_sets([LeedsSports(str(lsp[0]))])
    assert capsys.readouterr().err == ""

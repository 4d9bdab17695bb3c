"""Every data set of the catalog in its official format: prepared, read back, checked and shown under each protocol."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.cli import main
from hamipose.data import Prepared
from hamipose.data.catalog.entries import CATALOG
from hamipose.data.splits import sample_with_replacement
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import warp_crop
from hamipose.skeletons import COCO17
from hamipose.types import Sample
from tests.helpers.hand_images import write_dots_image

CASES = [(name, protocol) for name, about in CATALOG.items() for protocol in about.splits]
SIDE = {"strict": 512, "paper": 64}  # reduces no image, and nearly all images


@cache
def load_test_module(name: str) -> ModuleType:
    """Return the test module of a data set, which writes its official files."""
    path = next(Path(__file__).parents[1].glob(f"datasets/*/test_{name}.py"))
    spec = importlib.util.spec_from_file_location(f"native_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def surreal(root: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        for clip in (1, 2):
            name = f"{split}/run{number}/0{number}_01/0{number}_01_c000{clip}"
            load_test_module("surreal").write_clip(root / "cmu", name, 6 * clip)


def surreal_processed(root: Path) -> None:
    load_test_module("surreal").write_processed(root)
    shutil.copytree(root / "test", root / "val")


def h36m_official(root: Path) -> None:
    pytest.importorskip("cdflib"), pytest.importorskip("h5py")
    for subject in (1, 5, 6, 7, 8, 9, 11):
        load_test_module("h36m").write_official(root, subject, "Directions 1.54138969")
    load_test_module("h36m").write_official(root, 9, "Greeting.55011271")  # shifted labels: only in "paper"


def h3d(root: Path) -> None:
    for entry in load_test_module("h3d").h3d(root)[1]:
        if not (root / entry["name"]).exists():
            write_dots_image(root / entry["name"], np.array(entry["keypoint2d"]), 200, 200)


def freihand(root: Path) -> None:
    load_test_module("freihand").freihand(root)
    load_test_module("freihand").freihand(root, "evaluation", versions=1)


def write_noise(path: Path, width: int, height: int, seed: int = 0) -> None:
    """Write a smooth image that differs from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC))


def hand_photos(root: Path) -> None:
    """Write a plane of joints at 1 m distance from one camera, with four different images."""
    joints = np.random.default_rng(0).uniform([-0.1, -0.1, 1], [0.1, 0.1, 1], (400, 21, 3))
    scipy.io.savemat(root / "pose_gt.mat", {"pose_gt": joints})
    camera, box = np.tile([900.0, 900, 640, 360], (400, 1)), np.tile([512, 232, 256, 256], (400, 1))
    scipy.io.savemat(root / "params.mat", {"cam_param": camera, "bbox": box})
    for number in range(400):
        path = root / "images" / f"{number:05d}.jpg"
        if number < 4:
            write_noise(path, 256, 256, number)
        else:
            path.hardlink_to(path.with_name(f"{number % 4:05d}.jpg"))


def lsp(root: Path) -> None:
    joints = np.random.default_rng(0).uniform(1, 29, (3, 14, 2000))
    joints[2] = np.random.default_rng(1).integers(0, 2, (14, 2000))
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    for number in range(1, 2001):
        path = root / "images" / f"im{number:04d}.jpg"
        if number <= 7:
            write_noise(path, 88 if number == 1 else 48, 40, number)
        else:
            path.hardlink_to(path.with_name(f"im{number % 7 + 1:04d}.jpg"))


def lspet(root: Path) -> None:
    joints = np.random.default_rng(0).uniform(1, 99, (14, 3, 30))
    joints[:, 2] = np.random.default_rng(1).integers(0, 2, (14, 30))
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    for number in range(1, 31):
        write_noise(root / "images" / f"im{number:05d}.jpg", 90 + number, 100, number)


def coco(root: Path) -> None:
    """Write two people per image, some joints outside or not labeled, and a crowd without keypoints."""
    for folder in ("train2017", "val2017"):
        rng, images, people = np.random.default_rng(len(folder)), [], []
        for i in range(4):
            write_noise(root / folder / f"{i:012d}.jpg", 640, 480, i)
            images.append({"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480})
            for left in (20, 400):
                points = np.column_stack([rng.uniform([left, 30], [left + 200, 430], (17, 2)), rng.integers(0, 3, 17)])
                points[0, 2], points[points[:, 2] == 0] = 2, 0
                person = {"bbox": [left, 30, 200, 400], "keypoints": points.round(1).ravel().tolist()}
                people.append({"id": len(people), "image_id": i, "category_id": 1, "iscrowd": 0, **person})
            crowd = {"bbox": [0, 0, 640, 480], "keypoints": [0] * 51, "iscrowd": 1}
            people.append({"id": len(people), "image_id": i, "category_id": 1, **crowd})
        categories = [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}]
        content = {"images": images, "annotations": people, "categories": categories}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"person_keypoints_{folder}.json").write_text(json.dumps(content))


WRITE: dict[str, Callable[[Path], object]] = {
    "surreal": surreal,
    "surreal-processed": surreal_processed,
    "h36m": lambda root: load_test_module("h36m").write_json(root),
    "h36m-official": h36m_official,
    "rhd": lambda root: load_test_module("rhd").rhd(root),
    "h3d": h3d,
    "freihand": freihand,
    "hand-photos": hand_photos,
    "lsp": lsp,
    "lspet": lspet,
    "coco": coco,
}


def test_every_data_set_is_covered():
    assert set(WRITE) == set(CATALOG)


@pytest.fixture(scope="module")
def official_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the folder of a set's official files, written once."""

    @cache
    def write(name: str) -> Path:
        root = tmp_path_factory.mktemp(name)
        WRITE[name](root)
        return root

    return write


@pytest.fixture(autouse=True)
def small_catalog(monkeypatch: pytest.MonkeyPatch):
    """Expect the numbers of files and people of the fixtures, and 40 draws of Human3.6M instead of 3200."""
    for name, about in CATALOG.items():
        small = replace(about, files=tuple(replace(f, count=None) for f in about.files), counts={})
        if name == "lspet":
            options = {p: {s: {**o, "train_count": 20} for s, o in of.items()} for p, of in about.splits.items()}
            small = replace(small, splits=options)
        monkeypatch.setitem(CATALOG, name, small)
    for module in ("h36m", "h36m_official"):
        monkeypatch.setattr(
            f"hamipose.data.datasets.body.{module}.sample_with_replacement",
            lambda count: sample_with_replacement(count, 40),
        )


def in_crop(sample: Sample, size: int = 128) -> np.ndarray:
    return apply_points(crop_matrix(sample.box_px, size), sample.keypoints_px.astype(float))


def gray(sample: Sample, size: int = 64) -> np.ndarray:
    return warp_crop(sample.image, crop_matrix(sample.box_px, size), size).astype(float)


@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_prepared_set_equals_official_files(
    name: str, protocol: str, official_files: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture
):
    raw, out = official_files(name), tmp_path / "out"
    arguments = ["--raw", f"{raw}/./", "--out", str(out), "--protocol", protocol, "--side", str(SIDE[protocol])]
    assert main(["data", "prepare", name, *arguments, "--workers", "0"]) == 0, capsys.readouterr().err
    for split in CATALOG[name].splits[protocol]:
        native = CATALOG[name].dataset(raw, split, protocol)
        native.prepare()
        packed = Prepared(str(out), split, protocol, skeleton=native.skeleton.name)
        packed.prepare()
        assert len(packed) == len(native) > 0
        assert packed.records["source"].tolist() == list(range(len(native)))
        step = max(1, len(packed) // 25)
        for row in range(0, len(packed), step):
            a, b = native[row], packed[row]
            shrunk = max(a.box_px[2:]) > SIDE[protocol]  # to whole pixels, which slightly changes the sides of the box
            np.testing.assert_allclose(in_crop(b), in_crop(a), atol=0.6 if shrunk else 0.01)
            assert a.visibility.tolist() == b.visibility.tolist()
            assert not Path(b.name).is_absolute()
            assert str(raw / b.name) == a.name
            assert np.abs(gray(a) - gray(b)).mean() < 6
    sheet = str(tmp_path / "sheet.png")
    for root, deep in ((str(raw), []), (str(out), ["--deep"])):
        capsys.readouterr()
        assert main(["data", "check", name, "--root", root, *deep]) == 0, capsys.readouterr().out
        shown = ["--protocol", protocol, "--out", sheet, "--count", "2", "--size", "64"]
        assert main(["data", "show", name, "--root", root, *shown]) == 0, capsys.readouterr().err
        assert cv2.imread(sheet).shape[1] == 4 * 64 + 12

"""FreiHAND in its official format: projection, splits, crops, damaged releases."""

import json
import random
from pathlib import Path

import numpy as np

from hamipose.data.datasets.hand.freihand import FreiHand
from hamipose.geometry.affine import apply_points, crop_matrix
from tests.helpers.hand_images import (
    get_error,
    image_shows_joints,
    make_hand,
    reference_crop,
    thumb_points_left,
    write_dots_image,
)

MOMENTS = 40


def freihand(root: Path, folder: str = "training", versions: int = 4) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(len(folder))
    joints = (make_hand() + rng.normal(0, 0.4, (MOMENTS, 21, 3))) * 0.01 + rng.uniform(-0.02, 0.02, (MOMENTS, 1, 3))
    joints[..., 2] += 0.7
    joints[..., 1] += 0.06
    if folder == "training":
        joints[3] = joints[MOMENTS - 1] + [0.01, 0, 0.05]  # the same moment from another camera
    k = np.tile([[480.0, 0, 112], [0, 480, 112], [0, 0, 1]], (MOMENTS, 1, 1))
    (root / f"{folder}_K.json").write_text(json.dumps(k.tolist()))
    (root / f"{folder}_xyz.json").write_text(json.dumps(joints.tolist()))
    pixels = np.zeros((MOMENTS, 21, 2))
    for n in range(MOMENTS):
        for j in range(21):
            x, y, z = joints[n, j]
            pixels[n, j] = 480 * x / z + 112, 480 * y / z + 112
        for version in range(versions):
            write_dots_image(root / folder / "rgb" / f"{n + MOMENTS * version:08d}.jpg", pixels[n], 224, 224)
    return root, pixels


def test_labels_lie_on_the_joints(tmp_path: Path):
    root, pixels = freihand(tmp_path)
    whole = FreiHand(str(root), "all")
    whole.prepare()
    assert len(whole) == 4 * MOMENTS
    assert np.allclose(whole.labels.keypoints_px, np.tile(pixels, (4, 1, 1)), atol=1e-3)
    for protocol in ("strict", "paper"):
        for split in ("train", "test"):
            dataset = FreiHand(str(root), split, protocol)
            assert all(image_shows_joints(dataset, i) for i in range(0, len(dataset), 5))
            # Right hands with palms to the camera: thumbs point to the right; `paper` mirrors all of them.
            assert {thumb_points_left(dataset, i) for i in range(len(dataset))} == {protocol == "paper"}
    assert FreiHand(str(root))[0].box_px.tolist() == [0, 0, 224, 224]


def test_strict_keeps_each_moment_on_one_side(tmp_path: Path):
    root, _ = freihand(tmp_path)
    train, test = (FreiHand(str(root), s) for s in ("train", "test"))
    moments = [set((d.labels.file % MOMENTS).tolist()) for d in (train, test)]
    end = MOMENTS * 375 // 407
    assert moments[1] == set(range(end, MOMENTS))
    assert moments[0] == set(range(end)) - {3}  # moment 3 is the last one from another camera
    for dataset, of in zip((train, test), moments, strict=True):
        assert sorted(dataset.labels.file) == sorted(m + MOMENTS * v for m in of for v in range(4))
    assert 32560 * 375 // 407 == 30000
    one = FreiHand(str(root), versions=["sample"])
    assert set(one.labels.file // MOMENTS) == {2}


def test_paper_equals_published_split_and_crop(tmp_path: Path):
    root, pixels = freihand(tmp_path)
    joined = [f"{n + MOMENTS * v:08d}.jpg" for v in (0, 3, 2, 1) for n in range(MOMENTS)]
    random.seed(42)
    random.shuffle(joined)
    aside = len(joined) // 5
    train, test = (FreiHand(str(root), s, "paper") for s in ("train", "test"))
    for dataset, expected in ((train, joined[aside:]), (test, joined[:aside])):
        assert [dataset.path(int(f)).name for f in dataset.labels.file] == expected
    leaked = np.isin(test.labels.file % MOMENTS, train.labels.file % MOMENTS)
    assert leaked.all()  # `strict` avoids this
    for i in range(0, len(test), 7):
        joints = pixels[int(test.labels.file[i]) % MOMENTS]
        left, top, width, _ = (int(v) for v in test.labels.box_px[i])
        expected = reference_crop(np.zeros((224, 224)), joints, [left, top, left + width, top + width], True)
        actual = apply_points(crop_matrix(test[i].box_px, 256), test[i].keypoints_px.astype(float))
        assert np.allclose(actual, expected, atol=1e-3)
        assert width == min(round(1.5 * float((joints.max(0) - joints.min(0)).max())), 224) - 1


def test_evaluation_split(tmp_path: Path):
    root, pixels = freihand(tmp_path, "evaluation", versions=1)
    dataset = FreiHand(str(root), "evaluation")
    dataset.prepare()
    assert len(dataset) == MOMENTS
    assert np.allclose(dataset.labels.keypoints_px, pixels, atol=1e-3)
    assert "expected one of train, test, all" in get_error(lambda: FreiHand(str(root), "evaluation", "paper"))


def test_damaged_release_is_rejected(tmp_path: Path):
    freihand(tmp_path)
    joints = json.loads((tmp_path / "training_xyz.json").read_text())

    def labeled(value: object) -> str:
        (tmp_path / "training_xyz.json").write_text(json.dumps(value))
        return get_error(FreiHand(str(tmp_path)).prepare)

    assert "training_K.json has 40 entries and training_xyz.json 39" in labeled(joints[:-1])
    assert "not a list of 21 x 3 numbers" in labeled([j[:20] for j in joints])
    assert "not a list of 21 x 3 numbers" in labeled(["a"] * 40)
    assert "not a list of 21 x 3 numbers" in labeled([])
    assert "entry 0 of training_xyz.json" in labeled([[[0, 0, -1]] * 21, *joints[1:]])
    (tmp_path / "training" / "rgb" / "00000000.jpg").unlink()
    assert "00000000.jpg does not exist" in labeled(joints)
    (tmp_path / "training_K.json").unlink()
    assert "training_K.json cannot be read" in get_error(FreiHand(str(tmp_path)).prepare)
    assert "versions of FreiHand are ['hsv']" in get_error(lambda: FreiHand("", versions=["hsv"]))

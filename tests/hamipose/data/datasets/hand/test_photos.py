"""Photos of one hand: splits, labels, damaged files, and the real files if they are available."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from hamipose.data.datasets.hand.photos import HandPhotos
from tests.helpers.hand_images import get_error, image_shows_joints, is_right_hand, make_hand, write_dots_image

REAL = Path(__file__).parents[6] / "shared" / "data" / "hands"


def photos(root: Path, count: int = 400, **changes: np.ndarray) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(0)
    joints = make_hand("left") + rng.normal(0, 0.2, (count, 21, 3)) + [3.0, 10.0, 43.0]
    camera = np.tile([920.0, 921.0, 640.0, 362.0], (count, 1))
    box = np.stack([rng.integers(420, 470, count), rng.integers(180, 240, count), *[np.full(count, 512)] * 2], 1)
    pixels = np.zeros((count, 21, 2))
    for n in range(count):
        r = 256 / box[n, 2]
        k = np.array([[920 * r, 0, (640 - box[n, 0]) * r], [0, 921 * r, (362 - box[n, 1]) * r], [0, 0, 1]])
        projected = (k @ joints[n].T).T
        pixels[n] = projected[:, :2] / projected[:, 2:]
    scipy.io.savemat(root / "pose_gt.mat", {"pose_gt": changes.get("pose_gt", joints.astype(np.float32))})
    scipy.io.savemat(
        root / "params.mat",
        {"cam_param": changes.get("cam_param", camera), "bbox": changes.get("bbox", box.astype(np.int32))},
    )
    for n in (0, 382, 383, count - 1):
        write_dots_image(root / "images" / f"{n:05d}.jpg", pixels[n], 256, 256)
    return root, pixels


def test_splits_and_labels(tmp_path: Path):
    root, pixels = photos(tmp_path)
    train, test, whole = (HandPhotos(str(root), s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(whole)) == (383, 17, 400)
    for dataset in (train, test, whole):
        dataset.prepare()
        assert image_shows_joints(dataset, 0)
        assert image_shows_joints(dataset, len(dataset) - 1)
    assert np.allclose(test.labels.keypoints_px, pixels[383:], atol=1e-3)
    assert test[0].name.endswith("00383.jpg")


def test_damaged_files_are_rejected(tmp_path: Path):
    def written(**changes: np.ndarray) -> str:
        photos(tmp_path, **changes)
        return get_error(HandPhotos(str(tmp_path)).prepare)

    assert "has 400 poses, 399 cameras and 400 boxes" in written(cam_param=np.ones((399, 4)))
    assert "'pose_gt' in" in written(pose_gt=np.ones((400, 20, 3)))
    assert "expected n x 4 finite numbers" in written(bbox=np.full((400, 4), np.nan))
    assert "expected n x 4 finite numbers" in written(bbox=np.array([["a"] * 4] * 400))
    photos(tmp_path)
    scipy.io.savemat(tmp_path / "params.mat", {"camera": np.ones(4)})
    assert "has no array cam_param; expected the set's params.mat" in get_error(HandPhotos(str(tmp_path)).prepare)
    whole = (tmp_path / "pose_gt.mat").read_bytes()
    (tmp_path / "pose_gt.mat").write_bytes(whole[: len(whole) // 2])
    assert "pose_gt.mat" in get_error(HandPhotos(str(tmp_path)).prepare)
    (tmp_path / "pose_gt.mat").unlink()
    assert "does not exist" in get_error(HandPhotos(str(tmp_path)).prepare)


@pytest.mark.skipif(not REAL.is_dir(), reason="the photos of hands are not on this machine")
def test_real_files():
    train, test = (HandPhotos(str(REAL), s) for s in ("train", "test"))
    assert (len(train), len(test)) == (383, 200)
    for dataset in (train, test):
        dataset.prepare()
        for index in (0, len(dataset) - 1):
            assert dataset[index].image.shape == (256, 256, 3)
        assert (dataset.labels.visibility == 2).mean() > 0.99
    # Skin is redder than the fridge behind it.
    sample = test[0]
    at = np.rint(sample.keypoints_px).astype(int)
    red, _, blue = sample.image[at[:, 1], at[:, 0]].astype(int).T
    assert (red > blue).all()
    # The data set states a right hand, but the images show the shape of a left one: they are mirrored.
    joints = scipy.io.loadmat(REAL / "pose_gt.mat")["pose_gt"].astype(float)
    assert is_right_hand(make_hand("right"))
    assert not is_right_hand(make_hand("left"))
    assert (~is_right_hand(joints)).mean() > 0.95

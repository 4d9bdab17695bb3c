"""Hand-3D-Studio in its official format: both splits, damaged releases."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hamipose.data.datasets.hand.base import HandDataset, find_duplicates
from hamipose.data.datasets.hand.h3d import Hand3DStudio
from hamipose.geometry.affine import apply_points, crop_matrix
from tests.helpers.hand_images import get_error, image_shows_joints, make_hand, thumb_points_left, write_dots_image


def rotate_hand(joints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the hand in the axes of another camera."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return joints @ (rotation * np.sign(np.linalg.det(rotation))).T + rng.normal(size=3)


def h3d(root: Path, count: int = 60) -> tuple[Path, list[dict]]:
    """Write twelve images per part; every fifth moment of part1 is also in part5, from another camera."""
    rng, entries = np.random.default_rng(0), []
    for i in range(count):
        part, number = i * 5 // count + 1, i % (count // 5)
        twin_of = entries[number]["keypoint3d"] if part == 5 and number % 5 == 0 else None
        joints = rotate_hand(np.array(twin_of), rng) if twin_of else make_hand() + rng.normal(0, 0.4, (21, 3))
        entries.append(
            {
                "name": f"part{part}/{i}.jpg",
                "keypoint2d": (make_hand()[:, :2] * 5 + [100, 120]).tolist(),
                "keypoint3d": joints.tolist(),
                "intrinsic_matrix": np.eye(3).tolist(),
                "without_object": int(i % 4 != 1),
            }
        )
        if number < 3 or number > 9:
            write_dots_image(root / entries[-1]["name"], np.array(entries[-1]["keypoint2d"]), 200, 200)
    (root / "annotation.json").write_text(json.dumps(entries))
    return root, entries


def names(dataset: HandDataset) -> list[str]:
    return [bytes(f).decode() for f in dataset.labels.file]


def test_paper_equals_published_shuffle(tmp_path: Path):
    root, entries = h3d(tmp_path)
    for task in ("noobject", "object", "all"):
        order = [e["name"] for e in entries if task == "all" or e["without_object"] == (task == "noobject")]
        random.seed(42)
        random.shuffle(order)
        aside = len(order) // 5
        paper = {s: Hand3DStudio(str(root), s, "paper", task) for s in ("train", "test", "all")}
        assert names(paper["test"]) == order[:aside]
        assert names(paper["train"]) == order[aside:]
        assert names(paper["all"]) == order
    sample = Hand3DStudio(str(root), "all", "paper")
    index = names(sample).index("part1/0.jpg")
    actual = apply_points(crop_matrix(sample[index].box_px, 256), sample[index].keypoints_px.astype(float))
    assert np.allclose(actual, np.array(entries[0]["keypoint2d"]) * 256 / 200, atol=1e-3)


def test_strict_shares_no_moment(tmp_path: Path):
    root, entries = h3d(tmp_path)
    train, test, whole = (Hand3DStudio(str(root), s) for s in ("train", "test", "all"))
    train.prepare(), test.prepare()
    assert all(n.startswith("part5/") for n in names(test))
    empty = [e["name"] for e in entries if e["without_object"]]
    assert names(whole) == empty
    # Moments 0, 5 and 10 of part1 are also in part5, as images 48, 53 and 58; 53 has an object.
    assert set(empty) - set(names(train)) - set(names(test)) == {"part1/0.jpg", "part1/10.jpg"}
    assert image_shows_joints(test, 0)
    assert test[0].box_px.tolist() == [0, 0, 200, 200]
    assert not thumb_points_left(test, 0)


def test_find_duplicates_finds_rotated_hands_only():
    rng = np.random.default_rng(0)
    hands = make_hand() + rng.normal(0, 0.4, (30, 21, 3))
    seen = np.stack([rotate_hand(h, rng) for h in hands])
    assert find_duplicates(hands, seen).all()
    assert find_duplicates(hands * 10, seen[:7]).tolist() == [True] * 7 + [False] * 23  # in any unit
    assert not find_duplicates(hands, seen + rng.normal(0, 0.05, seen.shape)).any()
    assert find_duplicates(hands, seen[:0]).tolist() == [False] * 30


def test_large_images_are_decoded_reduced(tmp_path: Path):
    root, _ = h3d(tmp_path)
    full, reduced = Hand3DStudio(str(root)), Hand3DStudio(str(root))
    reduced.decode_side = 60
    a, b = full[0], reduced[0]
    assert b.image.shape == (100, 100, 3)
    assert np.allclose((b.keypoints_px + 0.5) * 2 - 0.5, a.keypoints_px)
    assert np.allclose(b.box_px * 2, a.box_px)


def test_damaged_release_is_rejected(tmp_path: Path):
    _, entries = h3d(tmp_path)

    def annotated(change: Callable[[list], object], **options: object) -> str:
        copy = json.loads(json.dumps(entries))
        changed = change(copy)
        (tmp_path / "annotation.json").write_text(json.dumps(copy if changed is None else changed))
        return get_error(Hand3DStudio(str(tmp_path), **options).prepare)

    assert "entry 3 of" in annotated(lambda e: e[3].pop("keypoint2d"[:10]) and None)
    assert "entry 3 of" in annotated(lambda e: e[3].update(keypoint2d=[[1, 2]]))
    assert "is not 21 x 2 finite numbers" in annotated(lambda e: e[3].update(keypoint2d="here"))
    assert "without_object of entry 0" in annotated(lambda e: e[0].update(without_object="yes"))
    assert "has no image name" in annotated(lambda e: e[4].update(name=4))
    assert "contains no list of hands" in annotated(lambda e: {"hands": e})
    assert "contains no list of hands" in annotated(lambda e: [])
    assert "entry 0 of" in annotated(lambda e: [1, 2])
    assert "test_parts of Hand3DStudio contains part9" in annotated(lambda e: None, test_parts=("part9",))
    (tmp_path / "part1" / "2.jpg").unlink()
    assert "part1/2.jpg does not exist" in annotated(lambda e: None)
    (tmp_path / "annotation.json").write_text("[{")
    assert "not valid JSON" in get_error(Hand3DStudio(str(tmp_path)).prepare)
    assert "task of Hand3DStudio is 'cup'" in get_error(lambda: Hand3DStudio("", task="cup"))

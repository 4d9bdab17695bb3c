"""Rendered Hand Pose against a slow loop over its official file: order, side, crops; and damaged releases."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from hamipose.data.datasets.hand.rhd import RenderedHands
from hamipose.geometry.affine import apply_points, crop_matrix
from tests.helpers.hand_images import (
    get_error,
    image_shows_joints,
    make_hand,
    reference_crop,
    thumb_points_left,
    write_dots_image,
)

RHD_ROW = [0, *(4 * f + j for f in range(5) for j in (4, 3, 2, 1))]  # row of each joint of HAND21 in the release


def rhd(root: Path, count: int = 12, apart: int = 80, **changes: object) -> tuple[Path, dict]:
    """Write both folders with `count` images each, as in the release: left rows first, fingers from tip to palm."""
    for folder in ("training", "evaluation"):
        rng = np.random.default_rng(len(folder))
        content = {}
        for number in range(count):
            rows = np.zeros((42, 3))
            for first, side in ((0, "left"), (21, "right")):
                middle = rng.uniform([130, 150], [190, 250]) + ([apart, 0] if first else [-apart, 0])
                hand = make_hand(side)[:, :2] * rng.uniform(2, 9) + middle
                rows[first + np.array(RHD_ROW), :2] = np.rint(hand) + 0.25
                rows[first : first + 21, 2] = rng.random(21) < 0.9
            content[number] = {"uv_vis": rows, "xyz": np.zeros((42, 3)), "K": np.eye(3), **changes}
            shown = np.concatenate([rows[np.array(RHD_ROW), :2], rows[21 + np.array(RHD_ROW), :2]])
            write_dots_image(root / folder / "color" / f"{number:05d}.png", shown, 320, 320)
        (root / folder / f"anno_{folder}.pickle").write_bytes(pickle.dumps(content, 2))
    return root, content


def reference_hands(content: dict) -> list[tuple[int, str, list[int]]]:
    """Return RegDA's hands by a slow loop from the published description: number, side, left-top-right-bottom."""

    def box(points: list) -> list[float]:
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        return [min(xs), min(ys), max(xs), max(ys)]

    def square(b: list[float]) -> list[int]:
        side = min(round(1.5 * max(b[2] - b[0], b[3] - b[1])), 320)
        corners = []
        for low, high in ((b[0], b[2]), (b[1], b[3])):
            first = round((low + high) / 2 - side / 2)
            corners.append(0 if first < 0 else 320 - side if first + side - 1 >= 320 else first)
        return [corners[0], corners[1], corners[0] + side - 1, corners[1] + side - 1]

    def pixels(b: list) -> float:
        return max(b[2] - b[0] + 1, 0) * max(b[3] - b[1] + 1, 0)

    kept = []
    for number, picture in content.items():
        rows = picture["uv_vis"].tolist()
        for side, own, other in (("left", rows[:21], rows[21:]), ("right", rows[21:], rows[:21])):
            crop, rival = square(box(own)), box(other)
            shared = [max(crop[0], rival[0]), max(crop[1], rival[1]), min(crop[2], rival[2]), min(crop[3], rival[3])]
            if crop[2] - crop[0] > 64 and sum(r[2] for r in own) > 16 and pixels(shared) / pixels(crop) < 0.3:
                kept.append((number, side, crop))
    return kept


def test_selected_hands_equal_reference_loop(tmp_path: Path):
    root, content = rhd(tmp_path, 40, apart=30)
    expected = reference_hands(content)
    assert 5 < len(expected) < 75
    for protocol in ("strict", "paper"):
        dataset = RenderedHands(str(root), split="test", protocol=protocol)
        dataset.prepare()
        labels = dataset.labels
        assert [dataset.path(int(f)).name for f in labels.file] == [f"{n:05d}.png" for n, _, _ in expected]
        boxes = [[c[0], c[1], c[2] - c[0], c[3] - c[1]] for _, _, c in expected]
        assert labels.box_px.tolist() == boxes
        assert (labels.mirrored == [protocol == "paper" and side == "right" for _, side, _ in expected]).all()
    assert len(RenderedHands(str(root), "all")) == len(RenderedHands(str(root))) + len(expected)
    left = RenderedHands(str(root), "test", hands="left")
    assert len(left) == sum(side == "left" for _, side, _ in expected)


@pytest.mark.parametrize("protocol", ["strict", "paper"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_lie_on_the_joints(tmp_path: Path, split: str, protocol: str):
    dataset = RenderedHands(str(rhd(tmp_path)[0]), split, protocol)
    assert len(dataset) > 4
    names = {dataset[i].name for i in range(len(dataset))}
    assert any("#mirrored" in n for n in names) == (protocol == "paper")
    assert all(f"/{'training' if split == 'train' else 'evaluation'}/" in n for n in names)
    assert all(image_shows_joints(dataset, i) for i in range(len(dataset)))


def test_only_paper_mirrors_right_hands(tmp_path: Path):
    root, _ = rhd(tmp_path)
    strict, paper = (RenderedHands(str(root), protocol=p) for p in ("strict", "paper"))
    # The hands show their palms, fingers up: the thumb of a left hand points to the left of the image.
    assert {thumb_points_left(strict, i) for i in range(len(strict))} == {True, False}
    assert all(thumb_points_left(paper, i) for i in range(len(paper)))


def test_invisible_joints_are_hidden_or_not_labeled(tmp_path: Path):
    root, _ = rhd(tmp_path)
    strict, paper = (RenderedHands(str(root), protocol=p).labels for p in ("strict", "paper"))
    inside = ((strict.keypoints_px >= 0) & (strict.keypoints_px < 320)).all(-1)
    assert set(np.unique(paper.visibility)) == {0, 2}
    assert ((strict.visibility == 1) == ((paper.visibility == 0) & inside)).all()
    assert (strict.visibility == 1).any()
    assert strict.bytes_per_hand == 4 + 21 * 2 * 4 + 21 + 4 * 4 + 1


def test_paper_labels_equal_published_loader(tmp_path: Path):
    root, content = rhd(tmp_path)
    dataset = RenderedHands(str(root), "test", "paper")
    for i, (number, side, corners) in enumerate(reference_hands(content)):
        rows = content[number]["uv_vis"][np.array(RHD_ROW) + (0 if side == "left" else 21), :2]
        expected = reference_crop(np.zeros((320, 320)), rows, corners, side == "right")
        sample = dataset[i]
        actual = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
        assert np.allclose(actual, expected, atol=1e-3)


def test_damaged_release_is_rejected(tmp_path: Path):
    def training(value: object) -> str:
        path = tmp_path / "training" / "anno_training.pickle"
        path.write_bytes(pickle.dumps(value, 2))
        return get_error(RenderedHands(str(tmp_path)).prepare)

    rhd(tmp_path, 1)
    assert "expected a dictionary of images" in training({})
    assert "expected a dictionary of images" in training([1])
    assert "image 3 in" in training({3: {"xyz": 1}})
    assert "has float64 (21, 3) as uv_vis, expected 42 x 3" in training({3: {"uv_vis": np.zeros((21, 3))}})
    assert "as uv_vis, expected 42 x 3 finite numbers" in training({3: {"uv_vis": np.full((42, 3), "a")}})
    assert "as uv_vis, expected 42 x 3 finite numbers" in training({3: {"uv_vis": np.full((42, 3), np.nan)}})
    assert "'builtins.eval'" in training({3: eval}) or "__builtin__.eval" in training({3: eval})
    assert "has no hand in this split" in training({3: {"uv_vis": np.zeros((42, 3))}})
    far = np.zeros((42, 3))
    far[:21, :2], far[:21, 2], far[21:, :2] = np.arange(21)[:, None] * 8, 1, -500
    assert "00003.png does not exist" in training({3: {"uv_vis": far}})
    assert "cannot be read" in get_error(RenderedHands(str(tmp_path / "nowhere")).prepare)
    assert "split of RenderedHands is 'val'" in get_error(lambda: RenderedHands("", "val"))
    assert "protocol is 'loose'" in get_error(lambda: RenderedHands("", protocol="loose"))
    assert "hands of RenderedHands is 'one'" in get_error(lambda: RenderedHands("", hands="one"))


def test_keypoints_outside_the_image_are_not_labeled(tmp_path: Path):
    rows = np.zeros((42, 3))
    rows[:21, :2] = np.linspace(250, 330, 21)[:, None]  # the last ones are outside
    rows[:21, 2] = [1] * 17 + [0] * 4
    rows[21:, :2] = -900
    _, _ = rhd(tmp_path, 1, uv_vis=rows)
    strict = RenderedHands(str(tmp_path)).labels
    outside = (strict.keypoints_px > 319.5).any(-1)
    assert outside.sum() == 3
    assert (strict.visibility[outside] == 0).all()

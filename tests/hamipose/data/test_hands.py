"""Sets of hands against files written in their native layouts: order, side, crops, splits; and against damaged ones."""

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from hamipose.affine import apply_points, crop_matrix
from hamipose.data.base import KeypointDataset
from hamipose.data.freihand import FreiHand
from hamipose.data.h3d import Hand3DStudio
from hamipose.data.hand_photos import HandPhotos
from hamipose.data.hand_table import HandDataset, twins
from hamipose.data.rhd import RenderedHands
from hamipose.errors import InputError
from hamipose.skeletons import HAND21

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "hands"

# A colour a joint, told apart after JPEG too.
COLOURS = np.array([[40 + 100 * (k % 3), 40 + 100 * (k // 3 % 3), 40 + 100 * (k // 9)] for k in range(21)])


def open_hand(side: str = "right", curl: float = 0.3) -> np.ndarray:
    """21 × 3: a hand in centimetres seen from its palm, fingers up; camera axes (x right, y down, z away)."""
    joints = np.zeros((21, 3))
    for finger, angle in enumerate(np.deg2rad([60, 20, 5, -10, -28])):
        for joint, far in enumerate((4, 6.5, 8, 9.5) if finger == 0 else (8, 11.5, 13.5, 15.5)):
            joints[1 + 4 * finger + joint] = np.sin(angle) * far, -np.cos(angle) * far, -curl * joint**2
    return joints * ([1, 1, 1] if side == "right" else [-1, 1, 1])


def is_right(joints: np.ndarray) -> np.ndarray:
    """Chirality: index × little about the wrist points out of the palm, to where fingers curl, of a right hand."""
    wrist, index, little = (joints[..., HAND21.index(k), :] for k in ("wrist", "index_mcp", "little_mcp"))
    inner = joints[..., HAND21.indices(("index_tip", "middle_tip", "ring_tip", "little_tip")), :]
    outer = joints[..., HAND21.indices(("index_mcp", "middle_mcp", "ring_mcp", "little_mcp")), :]
    curl = (inner - outer).mean(-2)
    return (np.cross(index - wrist, little - wrist) * curl).sum(-1) > 0


def dots(path: Path, joints_px: np.ndarray, width: int, height: int) -> None:
    """A black picture with each joint as a dot of its colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((height, width, 3), np.uint8)
    for k in range(joints_px.shape[0]):
        centre = tuple(int(v) for v in np.rint(joints_px[k]))
        cv2.circle(image, centre, 1 if path.suffix == ".png" else 3, [int(v) for v in COLOURS[k % 21][::-1]], -1)
    cv2.imwrite(str(path), image, [] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 100])


def shows_each_joint(dataset: KeypointDataset, index: int) -> bool:
    """Whether the sample's picture has each visible joint's colour where its label says."""
    sample = dataset[index]
    at = np.rint(sample.keypoints_px).astype(int)
    seen = (sample.visibility > 0) & (at >= 0).all(1) & (at < sample.image.shape[1::-1]).all(1)
    found = sample.image[at[seen, 1], at[seen, 0]].astype(int)
    return bool((np.abs(found - COLOURS[seen]).max(1) < 45).all())


def told(act: Callable[[], object]) -> str:
    """The one line that a mistake ends in."""
    with pytest.raises(InputError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


# Rendered Hand Pose


RHD_ROW = [0, *(4 * f + j for f in range(5) for j in (4, 3, 2, 1))]  # the release's row of each joint of HAND21


def rhd(root: Path, count: int = 12, apart: int = 80, **changes: object) -> tuple[Path, dict]:
    """Both folders, `count` pictures each, as in the release: left rows first, fingers from tip to palm."""
    for folder in ("training", "evaluation"):
        rng = np.random.default_rng(len(folder))
        content = {}
        for number in range(count):
            rows = np.zeros((42, 3))
            for first, side in ((0, "left"), (21, "right")):
                middle = rng.uniform([130, 150], [190, 250]) + ([apart, 0] if first else [-apart, 0])
                hand = open_hand(side)[:, :2] * rng.uniform(2, 9) + middle
                rows[first + np.array(RHD_ROW), :2] = np.rint(hand) + 0.25
                rows[first : first + 21, 2] = rng.random(21) < 0.9
            content[number] = {"uv_vis": rows, "xyz": np.zeros((42, 3)), "K": np.eye(3), **changes}
            shown = np.concatenate([rows[np.array(RHD_ROW), :2], rows[21 + np.array(RHD_ROW), :2]])
            dots(root / folder / "color" / f"{number:05d}.png", shown, 320, 320)
        (root / folder / f"anno_{folder}.pickle").write_bytes(pickle.dumps(content, 2))
    return root, content


def reference_choice(content: dict) -> list[tuple[int, str, list[int]]]:
    """RegDA's hands and crops by a slow loop from the published description: number, side, left-top-right-bottom."""

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


def test_rhd_keeps_the_hands_that_a_slow_loop_keeps(tmp_path: Path):
    root, content = rhd(tmp_path, 40, apart=30)
    expected = reference_choice(content)
    assert 5 < len(expected) < 75
    for protocol in ("strict", "paper"):
        dataset = RenderedHands(str(root), split="test", protocol=protocol)
        dataset.prepare()
        table = dataset.table
        assert [dataset.path(int(f)).name for f in table.file] == [f"{n:05d}.png" for n, _, _ in expected]
        boxes = [[c[0], c[1], c[2] - c[0], c[3] - c[1]] for _, _, c in expected]
        assert table.box_px.tolist() == boxes
        assert (table.mirrored == [protocol == "paper" and side == "right" for _, side, _ in expected]).all()
    assert len(RenderedHands(str(root), "all")) == len(RenderedHands(str(root))) + len(expected)
    left = RenderedHands(str(root), "test", hands="left")
    assert len(left) == sum(side == "left" for _, side, _ in expected)


@pytest.mark.parametrize("protocol", ["strict", "paper"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_rhd_labels_lie_on_the_joints_they_name(tmp_path: Path, split: str, protocol: str):
    dataset = RenderedHands(str(rhd(tmp_path)[0]), split, protocol)
    assert len(dataset) > 4
    names = {dataset[i].name for i in range(len(dataset))}
    assert any("#mirrored" in n for n in names) == (protocol == "paper")
    assert all(f"/{'training' if split == 'train' else 'evaluation'}/" in n for n in names)
    assert all(shows_each_joint(dataset, i) for i in range(len(dataset)))


def thumb_points_left(dataset: HandDataset, index: int) -> bool:
    keypoints_px = dataset[index].keypoints_px
    return bool(keypoints_px[HAND21.index("thumb_tip"), 0] < keypoints_px[HAND21.index("little_tip"), 0])


def test_paper_makes_every_hand_a_left_one_and_strict_none(tmp_path: Path):
    root, _ = rhd(tmp_path)
    strict, paper = (RenderedHands(str(root), protocol=p) for p in ("strict", "paper"))
    # The fixture's hands show their palms, fingers up: a left hand's thumb points to the left of the picture.
    assert {thumb_points_left(strict, i) for i in range(len(strict))} == {True, False}
    assert all(thumb_points_left(paper, i) for i in range(len(paper)))


def test_joints_that_are_not_seen_are_hidden_under_strict_and_unlabelled_under_paper(tmp_path: Path):
    root, _ = rhd(tmp_path)
    strict, paper = (RenderedHands(str(root), protocol=p).table for p in ("strict", "paper"))
    inside = ((strict.keypoints_px >= 0) & (strict.keypoints_px < 320)).all(-1)
    assert set(np.unique(paper.visibility)) == {0, 2}
    assert ((strict.visibility == 1) == ((paper.visibility == 0) & inside)).all()
    assert (strict.visibility == 1).any()
    assert strict.bytes_per_hand == 4 + 21 * 2 * 4 + 21 + 4 * 4 + 1


def reference_crop(image: np.ndarray, joints: np.ndarray, corners: list[int], mirrored: bool) -> np.ndarray:
    """Where the published transforms put keypoints in the 256-pixel crop: cut, mirror, scale."""
    left, top, right, lower = corners
    cut = image[top:lower, left:right]
    joints = joints - [left, top]
    if mirrored:
        joints = np.stack([cut.shape[1] - 1.0 - joints[:, 0], joints[:, 1]], 1)
    return joints * (256 / cut.shape[1])


def test_rhd_paper_labels_land_where_the_published_loader_puts_them(tmp_path: Path):
    root, content = rhd(tmp_path)
    dataset = RenderedHands(str(root), "test", "paper")
    for i, (number, side, corners) in enumerate(reference_choice(content)):
        rows = content[number]["uv_vis"][np.array(RHD_ROW) + (0 if side == "left" else 21), :2]
        wanted = reference_crop(np.zeros((320, 320)), rows, corners, side == "right")
        sample = dataset[i]
        found = apply_points(crop_matrix(sample.box_px, 256), sample.keypoints_px.astype(float))
        assert np.allclose(found, wanted, atol=1e-3)


def test_a_damaged_rhd_is_told(tmp_path: Path):
    def training(value: object) -> str:
        path = tmp_path / "training" / "anno_training.pickle"
        path.write_bytes(pickle.dumps(value, 2))
        return told(RenderedHands(str(tmp_path)).prepare)

    rhd(tmp_path, 1)
    assert "expected a dictionary of pictures" in training({})
    assert "expected a dictionary of pictures" in training([1])
    assert "picture 3 in" in training({3: {"xyz": 1}})
    assert "has float64 (21, 3) as uv_vis, expected 42 x 3" in training({3: {"uv_vis": np.zeros((21, 3))}})
    assert "as uv_vis, expected 42 x 3 finite numbers" in training({3: {"uv_vis": np.full((42, 3), "a")}})
    assert "as uv_vis, expected 42 x 3 finite numbers" in training({3: {"uv_vis": np.full((42, 3), np.nan)}})
    assert "'builtins.eval'" in training({3: eval}) or "__builtin__.eval" in training({3: eval})
    assert "has no hand in this split" in training({3: {"uv_vis": np.zeros((42, 3))}})
    far = np.zeros((42, 3))
    far[:21, :2], far[:21, 2], far[21:, :2] = np.arange(21)[:, None] * 8, 1, -500
    assert "00003.png does not exist" in training({3: {"uv_vis": far}})
    assert "cannot be read" in told(RenderedHands(str(tmp_path / "nowhere")).prepare)
    assert "split of RenderedHands is 'val'" in told(lambda: RenderedHands("", "val"))
    assert "protocol is 'loose'" in told(lambda: RenderedHands("", protocol="loose"))
    assert "hands of RenderedHands is 'one'" in told(lambda: RenderedHands("", hands="one"))


def test_keypoints_outside_the_picture_are_no_labels(tmp_path: Path):
    rows = np.zeros((42, 3))
    rows[:21, :2] = np.linspace(250, 330, 21)[:, None]  # the last ones lie outside
    rows[:21, 2] = [1] * 17 + [0] * 4
    rows[21:, :2] = -900
    _, _ = rhd(tmp_path, 1, uv_vis=rows)
    strict = RenderedHands(str(tmp_path)).table
    outside = (strict.keypoints_px > 319.5).any(-1)
    assert outside.sum() == 3
    assert (strict.visibility[outside] == 0).all()


# Hand-3D-Studio


def turned(joints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same hand in another camera."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return joints @ (rotation * np.sign(np.linalg.det(rotation))).T + rng.normal(size=3)


def h3d(root: Path, count: int = 60) -> tuple[Path, list[dict]]:
    """Twelve pictures a part; every fifth moment of part1 is in part5 too, from another side."""
    rng, entries = np.random.default_rng(0), []
    for i in range(count):
        part, number = i * 5 // count + 1, i % (count // 5)
        twin_of = entries[number]["keypoint3d"] if part == 5 and number % 5 == 0 else None
        joints = turned(np.array(twin_of), rng) if twin_of else open_hand() + rng.normal(0, 0.4, (21, 3))
        entries.append(
            {
                "name": f"part{part}/{i}.jpg",
                "keypoint2d": (open_hand()[:, :2] * 5 + [100, 120]).tolist(),
                "keypoint3d": joints.tolist(),
                "intrinsic_matrix": np.eye(3).tolist(),
                "without_object": int(i % 4 != 1),
            }
        )
        if number < 3 or number > 9:
            dots(root / entries[-1]["name"], np.array(entries[-1]["keypoint2d"]), 200, 200)
    (root / "annotation.json").write_text(json.dumps(entries))
    return root, entries


def names(dataset: HandDataset) -> list[str]:
    return [bytes(f).decode() for f in dataset.table.file]


def test_h3d_paper_is_the_published_shuffle(tmp_path: Path):
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
    found = apply_points(crop_matrix(sample[index].box_px, 256), sample[index].keypoints_px.astype(float))
    assert np.allclose(found, np.array(entries[0]["keypoint2d"]) * 256 / 200, atol=1e-3)


def test_h3d_strict_shares_no_moment(tmp_path: Path):
    root, entries = h3d(tmp_path)
    train, test, whole = (Hand3DStudio(str(root), s) for s in ("train", "test", "all"))
    train.prepare(), test.prepare()
    assert all(n.startswith("part5/") for n in names(test))
    empty = [e["name"] for e in entries if e["without_object"]]
    assert names(whole) == empty
    # Moments 0, 5 and 10 of part1 are seen in part5 again; 48, 53 and 58 are those pictures, of which 53 has an object.
    assert set(empty) - set(names(train)) - set(names(test)) == {"part1/0.jpg", "part1/10.jpg"}
    assert shows_each_joint(test, 0)
    assert test[0].box_px.tolist() == [0, 0, 200, 200]
    assert not thumb_points_left(test, 0)


def test_twins_are_found_from_every_side_and_others_are_not():
    rng = np.random.default_rng(0)
    hands = open_hand() + rng.normal(0, 0.4, (30, 21, 3))
    seen = np.stack([turned(h, rng) for h in hands])
    assert twins(hands, seen).all()
    assert twins(hands * 10, seen[:7]).tolist() == [True] * 7 + [False] * 23  # whatever the unit
    assert not twins(hands, seen + rng.normal(0, 0.05, seen.shape)).any()
    assert twins(hands, seen[:0]).tolist() == [False] * 30


def test_a_large_h3d_picture_is_decoded_smaller_with_its_labels(tmp_path: Path):
    root, _ = h3d(tmp_path)
    full, reduced = Hand3DStudio(str(root)), Hand3DStudio(str(root))
    reduced.decode_side = 60
    a, b = full[0], reduced[0]
    assert b.image.shape == (100, 100, 3)
    assert np.allclose((b.keypoints_px + 0.5) * 2 - 0.5, a.keypoints_px)
    assert np.allclose(b.box_px * 2, a.box_px)


def test_a_damaged_h3d_is_told(tmp_path: Path):
    _, entries = h3d(tmp_path)

    def annotated(change: Callable[[list], object], **options: object) -> str:
        copy = json.loads(json.dumps(entries))
        changed = change(copy)
        (tmp_path / "annotation.json").write_text(json.dumps(copy if changed is None else changed))
        return told(Hand3DStudio(str(tmp_path), **options).prepare)

    assert "entry 3 of" in annotated(lambda e: e[3].pop("keypoint2d"[:10]) and None)
    assert "entry 3 of" in annotated(lambda e: e[3].update(keypoint2d=[[1, 2]]))
    assert "is not 21 x 2 finite numbers" in annotated(lambda e: e[3].update(keypoint2d="here"))
    assert "without_object of entry 0" in annotated(lambda e: e[0].update(without_object="yes"))
    assert "has no name of a picture" in annotated(lambda e: e[4].update(name=4))
    assert "holds no list of hands" in annotated(lambda e: {"hands": e})
    assert "holds no list of hands" in annotated(lambda e: [])
    assert "entry 0 of" in annotated(lambda e: [1, 2])
    assert "test_parts of Hand3DStudio name part9" in annotated(lambda e: None, test_parts=("part9",))
    (tmp_path / "part1" / "2.jpg").unlink()
    assert "part1/2.jpg does not exist" in annotated(lambda e: None)
    (tmp_path / "annotation.json").write_text("[{")
    assert "no valid JSON" in told(Hand3DStudio(str(tmp_path)).prepare)
    assert "task of Hand3DStudio is 'cup'" in told(lambda: Hand3DStudio("", task="cup"))


# FreiHAND

MOMENTS = 40


def freihand(root: Path, folder: str = "training", versions: int = 4) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(len(folder))
    joints = (open_hand() + rng.normal(0, 0.4, (MOMENTS, 21, 3))) * 0.01 + rng.uniform(-0.02, 0.02, (MOMENTS, 1, 3))
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
            dots(root / folder / "rgb" / f"{n + MOMENTS * version:08d}.jpg", pixels[n], 224, 224)
    return root, pixels


def test_freihand_projects_and_labels_lie_on_the_joints(tmp_path: Path):
    root, pixels = freihand(tmp_path)
    whole = FreiHand(str(root), "all")
    whole.prepare()
    assert len(whole) == 4 * MOMENTS
    assert np.allclose(whole.table.keypoints_px, np.tile(pixels, (4, 1, 1)), atol=1e-3)
    for protocol in ("strict", "paper"):
        for split in ("train", "test"):
            dataset = FreiHand(str(root), split, protocol)
            assert all(shows_each_joint(dataset, i) for i in range(0, len(dataset), 5))
            # Right hands, palms to the camera: their thumbs point to the right; `paper` mirrors all of them.
            assert {thumb_points_left(dataset, i) for i in range(len(dataset))} == {protocol == "paper"}
    assert FreiHand(str(root))[0].box_px.tolist() == [0, 0, 224, 224]


def test_freihand_strict_keeps_a_moment_on_one_side(tmp_path: Path):
    root, _ = freihand(tmp_path)
    train, test = (FreiHand(str(root), s) for s in ("train", "test"))
    moments = [set((d.table.file % MOMENTS).tolist()) for d in (train, test)]
    end = MOMENTS * 375 // 407
    assert moments[1] == set(range(end, MOMENTS))
    assert moments[0] == set(range(end)) - {3}  # moment 3 is the last one, seen from elsewhere
    for dataset, of in zip((train, test), moments, strict=True):
        assert sorted(dataset.table.file) == sorted(m + MOMENTS * v for m in of for v in range(4))
    assert 32560 * 375 // 407 == 30000
    one = FreiHand(str(root), versions=["sample"])
    assert set(one.table.file // MOMENTS) == {2}


def test_freihand_paper_is_the_published_shuffle_leak_and_crop(tmp_path: Path):
    root, pixels = freihand(tmp_path)
    joined = [f"{n + MOMENTS * v:08d}.jpg" for v in (0, 3, 2, 1) for n in range(MOMENTS)]
    random.seed(42)
    random.shuffle(joined)
    aside = len(joined) // 5
    train, test = (FreiHand(str(root), s, "paper") for s in ("train", "test"))
    for dataset, expected in ((train, joined[aside:]), (test, joined[:aside])):
        assert [dataset.path(int(f)).name for f in dataset.table.file] == expected
    leaked = np.isin(test.table.file % MOMENTS, train.table.file % MOMENTS)
    assert leaked.all()  # what `strict` is for
    for i in range(0, len(test), 7):
        joints = pixels[int(test.table.file[i]) % MOMENTS]
        left, top, width, _ = (int(v) for v in test.table.box_px[i])
        wanted = reference_crop(np.zeros((224, 224)), joints, [left, top, left + width, top + width], True)
        found = apply_points(crop_matrix(test[i].box_px, 256), test[i].keypoints_px.astype(float))
        assert np.allclose(found, wanted, atol=1e-3)
        assert width == min(round(1.5 * float((joints.max(0) - joints.min(0)).max())), 224) - 1


def test_freihand_evaluation(tmp_path: Path):
    root, pixels = freihand(tmp_path, "evaluation", versions=1)
    dataset = FreiHand(str(root), "evaluation")
    dataset.prepare()
    assert len(dataset) == MOMENTS
    assert np.allclose(dataset.table.keypoints_px, pixels, atol=1e-3)
    assert "expected one of train, test, all" in told(lambda: FreiHand(str(root), "evaluation", "paper"))


def test_a_damaged_freihand_is_told(tmp_path: Path):
    freihand(tmp_path)
    joints = json.loads((tmp_path / "training_xyz.json").read_text())

    def labelled(value: object) -> str:
        (tmp_path / "training_xyz.json").write_text(json.dumps(value))
        return told(FreiHand(str(tmp_path)).prepare)

    assert "training_K.json has 40 entries and training_xyz.json 39" in labelled(joints[:-1])
    assert "not a list of 21 x 3 numbers" in labelled([j[:20] for j in joints])
    assert "not a list of 21 x 3 numbers" in labelled(["a"] * 40)
    assert "not a list of 21 x 3 numbers" in labelled([])
    assert "entry 0 of training_xyz.json" in labelled([[[0, 0, -1]] * 21, *joints[1:]])
    (tmp_path / "training" / "rgb" / "00000000.jpg").unlink()
    assert "00000000.jpg does not exist" in labelled(joints)
    (tmp_path / "training_K.json").unlink()
    assert "training_K.json cannot be read" in told(FreiHand(str(tmp_path)).prepare)
    assert "versions of FreiHand are ['hsv']" in told(lambda: FreiHand("", versions=["hsv"]))


# Photos of one hand


def photos(root: Path, count: int = 400, **changes: np.ndarray) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(0)
    joints = open_hand("left") + rng.normal(0, 0.2, (count, 21, 3)) + [3.0, 10.0, 43.0]
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
        dots(root / "images" / f"{n:05d}.jpg", pixels[n], 256, 256)
    return root, pixels


def test_hand_photos(tmp_path: Path):
    root, pixels = photos(tmp_path)
    train, test, whole = (HandPhotos(str(root), s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(whole)) == (383, 17, 400)
    for dataset in (train, test, whole):
        dataset.prepare()
        assert shows_each_joint(dataset, 0)
        assert shows_each_joint(dataset, len(dataset) - 1)
    assert np.allclose(test.table.keypoints_px, pixels[383:], atol=1e-3)
    assert test[0].name.endswith("00383.jpg")


def test_damaged_hand_photos_are_told(tmp_path: Path):
    def written(**changes: np.ndarray) -> str:
        photos(tmp_path, **changes)
        return told(HandPhotos(str(tmp_path)).prepare)

    assert "has 400 poses, 399 cameras and 400 boxes" in written(cam_param=np.ones((399, 4)))
    assert "'pose_gt' in" in written(pose_gt=np.ones((400, 20, 3)))
    assert "expected n x 4 finite numbers" in written(bbox=np.full((400, 4), np.nan))
    assert "expected n x 4 finite numbers" in written(bbox=np.array([["a"] * 4] * 400))
    photos(tmp_path)
    scipy.io.savemat(tmp_path / "params.mat", {"camera": np.ones(4)})
    assert "holds no array 'cam_param' (KeyError" in told(HandPhotos(str(tmp_path)).prepare)
    whole = (tmp_path / "pose_gt.mat").read_bytes()
    (tmp_path / "pose_gt.mat").write_bytes(whole[: len(whole) // 2])
    assert "pose_gt.mat" in told(HandPhotos(str(tmp_path)).prepare)
    (tmp_path / "pose_gt.mat").unlink()
    assert "cannot be read" in told(HandPhotos(str(tmp_path)).prepare)


@pytest.mark.skipif(not REAL.is_dir(), reason="the photos of hands are not on this machine")
def test_real_hand_photos():
    train, test = (HandPhotos(str(REAL), s) for s in ("train", "test"))
    assert (len(train), len(test)) == (383, 200)
    for dataset in (train, test):
        dataset.prepare()
        for index in (0, len(dataset) - 1):
            assert dataset[index].image.shape == (256, 256, 3)
        assert (dataset.table.visibility == 2).mean() > 0.99
    # Skin is redder than the fridge behind it.
    sample = test[0]
    at = np.rint(sample.keypoints_px).astype(int)
    red, _, blue = sample.image[at[:, 1], at[:, 0]].astype(int).T
    assert (red > blue).all()
    # The set calls it a right hand, but what the pictures show has the shape of a left one: they are mirrored.
    joints = scipy.io.loadmat(REAL / "pose_gt.mat")["pose_gt"].astype(float)
    assert is_right(open_hand("right"))
    assert not is_right(open_hand("left"))
    assert (~is_right(joints)).mean() > 0.95

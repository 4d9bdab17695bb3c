"""Synthetic hands on disk: rendered once, resumed, mirrored, and not mixed with people or other series."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.data.datasets.synthetic.hands import SyntheticHands, synthesize_hands
from hamipose.errors import UserError
from hamipose.skeletons import HAND21
from hamipose.synthetic import annotations

SIZE = 48


def make(folder: Path, count: int, style: str = "plain", seed: int = 0, workers: int = 1, **more: object) -> Path:
    return synthesize_hands(
        style, count, SIZE, seed, str(folder), workers=workers, device="cpu", progress=False, **more
    )


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands") / "plain"
    make(folder, 5)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_interrupted_rendering_resumes_identically(five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, made = annotations.make_hand_record, []

    def interrupt(folder: Path, index: int, **arguments: object):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(index)
        return real(folder, index, **arguments)

    monkeypatch.setattr(annotations, "make_hand_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, 5)
    assert not (tmp_path / "annotations.json").exists()
    (tmp_path / "images" / "000002.json.part").write_text('{"settings"')  # left by a killed process
    monkeypatch.setattr(annotations, "make_hand_record", lambda *a, **k: made.append(a[1]) or real(*a, **k))
    make(tmp_path, 5)
    assert made == [0, 1, 2, 3, 4]
    assert contents(tmp_path) == contents(five)


def test_other_series_is_rejected(five: Path, tmp_path: Path):
    for more in ({"seed": 1}, {"style": "photo"}, {"poses": ["fist"]}, {"facing": ["palm"]}, {"roll_deg": 30.0}):
        with pytest.raises(UserError, match="contains images rendered with"):
            make(five, 5, **more)
    shutil.copytree(five, tmp_path / "people")
    content = json.loads((five / "annotations.json").read_text())
    content["info"]["settings"]["subject"] = "people"
    (tmp_path / "people" / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="choose another one"):
        make(tmp_path / "people", 5)


def test_samples_match_the_file_and_right_hands_are_mirrored(five: Path):
    content = json.loads((five / "annotations.json").read_text())
    assert content["categories"][0]["keypoints"] == list(HAND21.keypoints)
    left = SyntheticHands(str(five), count=5, size=SIZE)
    right = SyntheticHands(str(five), count=5, size=SIZE, side="right")
    assert len(left) == 5
    assert left.skeleton == HAND21
    for i, annotation in enumerate(content["annotations"]):
        a, b = left[i], right[i]
        rows = np.array(annotation["keypoints"], np.float32).reshape(21, 3)
        assert np.allclose(a.keypoints_px, rows[:, :2], atol=1e-4)
        assert np.array_equal(a.visibility, rows[:, 2])
        assert a.box_px.tolist() == [0, 0, SIZE, SIZE]
        assert np.array_equal(b.image, a.image[:, ::-1])
        assert np.allclose(b.keypoints_px, np.stack([SIZE - 1 - rows[:, 0], rows[:, 1]], 1))
        joints = np.array(annotation["joints_3d_m"]) @ np.array(annotation["camera"]["intrinsics"]).T
        assert np.allclose(joints[:, :2] / joints[:, 2:], rows[:, :2], atol=0.1)
        assert sum(annotation["segmentation"]["counts"]) == SIZE * SIZE
    # The loader of COCO files can read the file.
    coco = CocoKeypoints(str(five), images=".", skeleton="hand21", box="image")
    assert np.allclose(coco[3].keypoints_px, left[3].keypoints_px, atol=1e-4)


def test_prepare_renders_missing_images_and_errors_are_named(five: Path, tmp_path: Path):
    hands = SyntheticHands(str(tmp_path / "new"), count=1, size=SIZE, workers=1)
    assert len(hands) == 1
    with pytest.raises(UserError, match=r"annotations\.json does not exist"):
        hands[0]
    hands.prepare()
    assert np.array_equal(hands[0].image, SyntheticHands(str(five), count=5)[0].image)
    with pytest.raises(UserError, match="contains 5 hands, but 9 were requested"):
        SyntheticHands(str(five), count=9)[0]
    with pytest.raises(UserError, match="side of SyntheticHands is 'both'"):
        SyntheticHands(str(five), side="both")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count", 0),
        ("size", 8),
        ("seed", -1),
        ("style", "oil"),
        ("poses", ["wave"]),
        ("backdrops", []),
        ("workers", 0),
        ("facing", ["up"]),
        ("roll_deg", 200.0),
    ],
)
def test_invalid_options_are_named(tmp_path: Path, option: str, value: object):
    arguments = {"style": "plain", "count": 1, "size": SIZE, "seed": 0, "out": str(tmp_path)} | {option: value}
    with pytest.raises(UserError, match=option):
        synthesize_hands(**arguments)


def test_command_line_renders_hands(tmp_path: Path):
    from hamipose.cli import main

    options = ["--count", "1", "--size", str(SIZE), "--out", str(tmp_path / "out")]
    assert main(["data", "synthesize", "--what", "hands", *options]) == 0
    assert (tmp_path / "out" / "images" / "000000.jpg").exists()
    assert SyntheticHands(str(tmp_path / "out"), count=1)[0].keypoints_px.shape == (21, 2)


def test_only_selected_families_and_backdrops_are_rendered(tmp_path: Path):
    make(tmp_path, 3, poses=["fist", "open"], backdrops=["flat"])
    annotations = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    assert {a["pose"] for a in annotations} <= {"fist", "open"}


def test_photographs_as_backgrounds(tmp_path: Path):
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more" / "magenta.png"), np.full((60, 80, 3), (255, 0, 255), np.uint8))
    make(tmp_path / "out", 1, backgrounds=str(tmp_path / "more"))
    picture = cv2.imread(str(tmp_path / "out" / "images" / "000000.jpg")).astype(int)
    assert (np.abs(picture - (255, 0, 255)).max(-1) < 40).mean() > 0.2
    with pytest.raises(UserError, match="is not a folder"):
        make(tmp_path / "out", 1, backgrounds=str(tmp_path / "nowhere"))

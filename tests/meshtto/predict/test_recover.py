"""From images and keypoints to files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from hamipose.errors import UserError
from hamipose.skeletons import COCO17
from meshtto.camera import project
from meshtto.cli.predict import main
from meshtto.joints import JOINTS49
from meshtto.predict.drawing import Figure, overlay, side_view
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence, KeypointFile
from meshtto.predict.recover import default_batch_size
from meshtto.test_time import Phase


def coco(path: Path, people: list[tuple[str, np.ndarray]]) -> Path:
    """Write a file in COCO's format."""
    files = sorted({name for name, _ in people})
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(files)],
        "annotations": [
            {"id": i, "image_id": files.index(name), "keypoints": np.asarray(rows).ravel().tolist()}
            for i, (name, rows) in enumerate(people)
        ],
    }
    path.write_text(json.dumps(content))
    return path


def rows(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(20, 80, (17, 2)), np.full(17, 2)])


def people_of(path: Path, name: str = "a.png") -> list[Evidence]:
    (found,) = KeypointFile(path).find_people([Frame(np.zeros((100, 120, 3), np.uint8), name)])
    return found


def test_keypoint_file_reads_coco_by_name(tmp_path: Path):
    path = coco(tmp_path / "k.json", [("a.png", rows()), ("a.png", rows(1)), ("b.png", rows(2))])
    assert {name: len(people_of(path, name)) for name in ("a.png", "b.png", "c.png")} == {
        "a.png": 2,
        "b.png": 1,
        "c.png": 0,
    }
    one = people_of(path)[0]
    wrist = JOINTS49.index("left_wrist")
    np.testing.assert_allclose(one.keypoints_px[wrist], rows()[COCO17.keypoints.index("left_wrist"), :2], rtol=1e-5)
    assert one.confidence[wrist] == 1
    assert one.confidence[JOINTS49.index("head_top")] == 0  # COCO has none
    assert int((one.confidence > 0).sum()) == 17


def test_keypoint_file_reads_openpose(tmp_path: Path):
    body = np.random.default_rng(0).uniform(1, 90, (25, 3))
    body[:, 2] = 0.7
    nobody = {"pose_keypoints_2d": [0.0] * 75}
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"people": [nobody, {"pose_keypoints_2d": body.ravel().tolist()}]}))
    file = KeypointFile(path)
    assert not file.names_images
    assert "1 person (0): has no detected keypoint" in str(file.skipped)
    (one,) = people_of(path)
    np.testing.assert_allclose(one.keypoints_px[:25], body[:, :2], rtol=1e-5)
    np.testing.assert_allclose(one.keypoints_px[JOINTS49.index("right_ankle")], body[11, :2], rtol=1e-5)
    assert one.confidence[JOINTS49.index("neck")] == 0  # OpenPose's neck is another point


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"a": 1}', "neither annotations"),
        ('{"people": []}', "no person that can be used"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "has 2 numbers in keypoints instead of 75"),
        (json.dumps({"people": [{"pose_keypoints_2d": [5.0, 5.0, 0.0] * 25}]}), "all confidences are 0"),
        ('{"people": [{"pose_keypoints_2d": [NaN' + ", 1.0" * 74 + "]}]}", "contains NaN or Inf"),
        ('{"people": [{"pose": []}]}', "has no pose_keypoints_2d"),
        ('{"annotations": [], "images": []}', "no person that can be used"),
        ('{"annotations": [3, null]}', "lacks images"),
    ],
)
def test_keypoint_file_rejects_invalid_files(content: str, message: str, tmp_path: Path):
    (tmp_path / "k.json").write_text(content)
    with pytest.raises(UserError, match=message):
        KeypointFile(tmp_path / "k.json")


def test_paint_handles_inner_surfaces():
    """A tube with most of its triangles on the inside looks like a tube with few of them."""
    tube = trimesh.creation.annulus(0.3, 0.5, 1.0, sections=48)
    finer = tube
    for _ in range(3):
        finer = finer.subdivide(np.flatnonzero(np.linalg.norm(finer.triangles_center[:, :2], axis=1) < 0.31))
    assert len(finer.faces) > 10 * len(tube.faces)
    one, other, turned = (
        side_view(np.asarray(m.vertices)[:, [0, 2, 1]] * [1, 1, -1], np.asarray(m.faces)[:, order], 96).astype(int)
        for m, order in ((tube, [0, 1, 2]), (finer, [0, 1, 2]), (tube, [2, 1, 0]))
    )
    assert (one < 250).any(2).sum() > 1000
    assert np.abs(one - other).mean() < 1
    assert np.abs(one - turned).max() <= 1  # for both orientations of the triangles


def test_paint_sphere_matches_its_projection():
    sphere = trimesh.creation.icosphere(3, 0.5)
    vertices = np.asarray(sphere.vertices) + np.array([0.5, -0.25, 5])
    figure = Figure(vertices, 150.0, np.array([79.5, 59.5]))
    image = overlay(np.zeros((120, 160, 3), np.uint8), [figure], np.asarray(sphere.faces))
    y, x = np.nonzero(image.max(2) > 45)  # at least half covered
    center = project(
        torch.tensor([[[0.5, -0.25, 5.0]]]), torch.zeros(1, 3), torch.tensor([150.0]), torch.tensor([[79.5, 59.5]])
    )
    np.testing.assert_allclose([x.mean(), y.mean()], center[0, 0].numpy(), atol=0.6)
    radius = 150 * 0.5 / 5
    # OpenCV also paints outlines: up to 0.8 px more on all sides.
    assert np.pi * radius**2 < len(x) < np.pi * (radius + 0.8) ** 2
    view = side_view(vertices, np.asarray(sphere.faces), 64)
    inside = (view < 250).any(2)
    assert inside[32, 32]
    assert not inside[[0, -1]].any()


@pytest.mark.slow
def test_predict_writes_files_of_images(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), image)
    keypoints = coco(tmp_path / "k.json", [("a.png", rows()), ("a.png", rows(1))])
    out = tmp_path / "out"
    words = [str(tmp_path / "in"), "--checkpoint", str(checkpoint), "--out", str(out), "--focal", "200"]
    main([*words, "--keypoints", str(keypoints), "--steps", "3"])
    made = {path.name for path in out.iterdir()}
    files = {f"a-{i}{end}" for i in (0, 1) for end in (".obj", ".glb", ".npz", ".json", "-side.png")}
    assert made == files | {"a-overlay.png"}

    facts = json.loads((out / "a-0.json").read_text())
    arrays = np.load(out / "a-0.npz")
    assert facts["focal_px"] == 200
    assert facts["steps"] == len(facts["losses"]) == 3
    assert len(facts["pose"]) == 72
    mesh = trimesh.load(out / "a-0.glb", force="mesh")
    upright = arrays["vertices_m"] * [1, -1, -1]
    np.testing.assert_allclose(np.sort(mesh.vertices, 0), np.sort(upright, 0), atol=1e-4)
    np.testing.assert_allclose(arrays["vertices_m"].mean(0), arrays["translation_m"], atol=2)
    assert cv2.imread(str(out / "a-overlay.png")).shape == image.shape

    main([*words[:3], "--no-keypoints", "--out", str(tmp_path / "plain")])
    assert "without adaptation" in capsys.readouterr().err
    assert json.loads((tmp_path / "plain" / "a-0.json").read_text())["steps"] == 0
    far = rows() + np.array([500, 0, 0])
    with pytest.raises(UserError, match="outside the image of 120 × 100 px"):
        main([*words, "--keypoints", str(coco(tmp_path / "far.json", [("a.png", far)]))])
    wild = torch.load(checkpoint, weights_only=True)
    wild["hyper_parameters"]["test_time"]["phases"][0]["rule"]["lr"] = 1e9
    torch.save(wild, tmp_path / "wild.ckpt")
    wildly = [words[0], "--checkpoint", str(tmp_path / "wild.ckpt"), *words[3:], "--keypoints", str(keypoints)]
    capsys.readouterr()
    main([*wildly, "--steps", "4"])
    output = capsys.readouterr().err
    assert "warning: a.png#0: adaptation diverged, the mesh is the unadapted one" in output
    assert json.loads((out / "a-0.json").read_text())["diverged"] is True
    main([*words, "--keypoints", str(keypoints), "--steps", "0", "--out", str(tmp_path / "own")])
    own, given_up = (np.load(folder / "a-0.npz")["pose"] for folder in (tmp_path / "own", out))
    np.testing.assert_allclose(own, given_up, atol=1e-5)
    with pytest.raises(UserError, match="no person was recovered"):
        main([*words, "--keypoints", str(coco(tmp_path / "other.json", [("b.png", rows())]))])


def test_default_batch_size_is_one_for_shared_weights():
    assert (
        default_batch_size([])
        == default_batch_size([Phase(14)])
        == default_batch_size([Phase(14), Phase(5, scope="all")])
        == 16
    )
    assert default_batch_size([Phase(14, inner="shared")]) == 1

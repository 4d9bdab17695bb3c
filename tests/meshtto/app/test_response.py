"""Responses of the page, without the page."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from meshtto.app.response import Responder
from meshtto.app.steps import adapt_and_draw, used_confidence
from meshtto.cli import main
from meshtto.joints import JOINTS24
from meshtto.predict.frames import open_frames
from meshtto.predict.recover import Recoverer, collate_crops, recover_people
from meshtto.test_time import Phase


def keypoint_file(path: Path, files: list[str], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    people = [np.column_stack([rng.uniform(15, 75, (24, 2)), np.full(24, 2)]) for _ in files]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(files)],
        "annotations": [{"image_id": i, "keypoints": rows.ravel().tolist()} for i, rows in enumerate(people)],
        "categories": [{"keypoints": list(JOINTS24)}],
    }
    path.write_text(json.dumps(content))
    return path


def test_steps_equal_adaptation_with_fewer_steps(responder: Responder, photo: Path):
    response = responder.respond(str(photo))
    assert response.steps is not None
    found = response.steps
    assert found.steps == 3
    assert len(found.overlays) == len(found.meshes) == len(found.errors_px) == 4
    (shown,) = open_frames(str(photo))
    (samples,) = Recoverer(responder.method, responder.pose, min_confidence=0.1).samples([shown])
    lasts = []
    for steps in range(4):
        phases = [Phase(steps, responder.phases[0].rule, pseudo_mesh=False)]
        (person,) = recover_people(responder.method, samples, phases)
        assert person is not None
        lasts.append(person)
        mesh = trimesh.load(found.meshes[steps], force="mesh")
        assert len(mesh.vertices) == len(person.vertices_m)
        wanted = person.vertices_m * [1, -1, -1]
        apart = np.asarray(mesh.vertices) - wanted
        np.testing.assert_allclose(
            apart, np.broadcast_to(apart[:1], apart.shape), atol=2e-4
        )  # equal up to a translation
    # compute the error directly: joints projected into the photo, and the keypoints that the loss uses
    known = used_confidence(responder.method, collate_crops(responder.method, samples))[0].numpy() > 0
    assert known.sum() >= 12  # the network's weights are random, so it is not sure of every keypoint
    for steps, person in enumerate(lasts):
        joints, focal = person.arrays["joints_m"][known], person.arrays["focal_px"]
        projected = focal * joints[:, :2] / joints[:, 2:] + np.array([(96 - 1) / 2, (80 - 1) / 2])
        by_hand = np.linalg.norm(projected - samples[0].evidence_px[known], axis=1).mean()
        assert found.errors_px[steps] == pytest.approx(by_hand, rel=1e-3)
    assert f"from {found.errors_px[0]:.1f} to {found.errors_px[-1]:.1f} px" in response.message


def test_overlays_differ_by_step_and_large_photos_are_reduced(responder: Responder, photo: Path, tmp_path: Path):
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), cv2.resize(cv2.imread(str(photo)), (960, 800)))
    (shown,) = open_frames(str(large))
    (samples,) = Recoverer(responder.method, responder.pose).samples([shown])
    found = adapt_and_draw(responder.method, shown, samples, responder.phases, tmp_path / "steps", side=480)
    first, *_, last = (cv2.imread(str(path)) for path in found.overlays)
    assert first.shape == (400, 480, 3)
    assert np.abs(first.astype(int) - last).max() > 20
    assert np.abs(first.astype(int) - cv2.resize(cv2.imread(str(large)), (480, 400))).max() > 60  # a mesh is drawn


def test_keypoint_file_takes_precedence_over_pose_model(responder: Responder, photo: Path, tmp_path: Path):
    alone = keypoint_file(tmp_path / "k.json", ["another name.png"])
    several = keypoint_file(tmp_path / "s.json", ["somebody.png", "b.png"])
    others = keypoint_file(tmp_path / "o.json", ["a.png", "b.png"])
    by_pose, by_file, by_name = (responder.respond(str(photo), k) for k in (None, str(alone), str(several)))
    assert by_file.steps is not None
    assert by_pose.steps is not None
    assert by_name.steps is not None
    assert by_file.steps.errors_px != by_pose.steps.errors_px
    assert by_file.steps.errors_px == pytest.approx(by_name.steps.errors_px)
    assert responder.respond(str(photo), str(others)).message == (
        "This file cannot be used: somebody.png: no person in o.json"
    )


def test_respond_without_keypoints_has_no_steps(responder: Responder, photo: Path, tmp_path: Path):
    response = Responder(responder.method, tmp_path, None, responder.phases).respond(str(photo))
    assert response.steps is not None
    assert response.steps.steps == 0
    assert response.steps.errors_px == []
    assert "Upload a file of 2D keypoints" in response.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", "notes.txt is neither an image"),
        ("broken.jpg", "broken.jpg"),
        ("clip.mp4", "clip.mp4 is a video; give a photo here, and the video to python -m meshtto predict"),
        ("gone.png", "gone.png does not exist"),
    ],
)
def test_respond_reports_unusable_files_without_folders(
    responder: Responder, clip: Path, tmp_path: Path, name: str, message: str
):
    path = clip if name == clip.name else tmp_path / name
    if path.suffix in (".txt", ".jpg"):
        path.write_text("not an image")
    response = responder.respond(str(path))
    assert response.message.startswith("This file cannot be used: ")
    assert message in response.message
    assert str(path.parent) not in response.message
    assert response.steps is None


def test_respond_reports_invalid_keypoints(responder: Responder, photo: Path, tmp_path: Path):
    (tmp_path / "k.json").write_text("{")
    assert "keypoints k.json is not valid JSON" in responder.respond(str(photo), str(tmp_path / "k.json")).message
    assert responder.respond(None).message == "Upload a photo."


def test_app_checks_options_and_requires_gradio(
    get_error: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    assert "--port 70000" in get_error("app", "--checkpoint", checkpoint, "--port", 70000)
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert "pip install 'hamipose[app]'" in get_error("app", "--checkpoint", checkpoint)
    with pytest.raises(SystemExit):
        main(["app", "--help"])
    assert "--pose-checkpoint" in capsys.readouterr().out

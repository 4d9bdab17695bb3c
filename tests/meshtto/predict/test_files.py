"""Output files of images and videos."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from hamipose.data.datasets.footage.video import Video
from hamipose.errors import UserError
from hamipose.io.video import VideoWriter
from meshtto.body import load_body
from meshtto.cli import main
from meshtto.predict.files import Files, ImageFiles, VideoFiles
from meshtto.predict.frames import Frame, open_frames
from meshtto.predict.recover import Person


def frames(path: Path) -> list[np.ndarray]:
    video = Video(str(path))
    video.prepare()
    return [video[i].image for i in range(len(video))]


@pytest.mark.slow
def test_video_outputs_overlay_arrays_and_frame_images(
    clip: Path, checkpoint: Path, pose_checkpoint: Path, tmp_path: Path
):
    out = tmp_path / "out"
    words = ["predict", str(clip), "--checkpoint", str(checkpoint), "--pose-checkpoint", str(pose_checkpoint)]
    assert main([*words, "--frame-stride", "2", "--frame-meshes", "--out", str(out)]) == 0
    looks = {f"clip-{f:06d}{end}" for f in (0, 2, 4) for end in ("-0.obj", "-0.glb", "-0-side.png", "-overlay.png")}
    of_video = {f"clip{suffix}{end}" for suffix in ("", "-smooth") for end in (".npz", ".json", "-overlay.mp4")}
    assert {path.name for path in out.iterdir()} == looks | of_video

    arrays = np.load(out / "clip.npz")
    assert arrays["frame"].tolist() == [0, 2, 4]
    assert arrays["person"].tolist() == [0, 0, 0]
    assert arrays["pose"].shape == (3, 72)
    content = json.loads((out / "clip.json").read_text())
    assert (content["video"], content["frames_per_second"]) == ("clip.mp4", pytest.approx(5))
    assert [row["frame"] for row in content["people"]] == [0, 2, 4]
    np.testing.assert_allclose([row["pose"] for row in content["people"]], arrays["pose"], atol=1e-6)
    assert all(row["steps"] == len(row["losses"]) == 2 for row in content["people"])

    # as documented, the body computes the vertices from the file's numbers
    made = load_body("builtin")(torch.from_numpy(arrays["rotations"]), torch.from_numpy(arrays["shape"]))
    vertices = made.vertices_m.numpy() + arrays["translation_m"][:, None]
    for number, frame in enumerate((0, 2, 4)):
        mesh = trimesh.load(out / f"clip-{frame:06d}-0.glb", force="mesh")
        np.testing.assert_allclose(
            np.sort(mesh.vertices, 0), np.sort(vertices[number] * [1, -1, -1], 0), atol=1e-3, rtol=1e-4
        )

    drawn = frames(out / "clip-overlay.mp4")
    assert len(drawn) == 3
    assert cv2.VideoCapture(str(out / "clip-overlay.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    for number, frame in enumerate((0, 2, 4)):
        png = cv2.imread(str(out / f"clip-{frame:06d}-overlay.png"))[..., ::-1]
        assert np.abs(drawn[number].astype(int) - png).mean() < 8


@pytest.mark.slow
def test_video_frame_equals_the_same_image(clip: Path, checkpoint: Path, pose_checkpoint: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(frames(clip)):
        cv2.imwrite(str(tmp_path / "photos" / f"f{number}.png"), image[..., ::-1])
    words = ["--checkpoint", str(checkpoint), "--pose-checkpoint", str(pose_checkpoint), "--no-images"]
    assert main(["predict", str(clip), *words, "--out", str(tmp_path / "a"), "--batch-size", "2"]) == 0
    assert main(["predict", str(tmp_path / "photos"), *words, "--out", str(tmp_path / "b")]) == 0
    together = np.load(tmp_path / "a" / "clip.npz")
    assert {path.suffix for path in (tmp_path / "a").iterdir()} == {".npz", ".json", ".mp4"}
    for number in range(5):
        alone = np.load(tmp_path / "b" / f"f{number}-0.npz")
        for key in ("pose", "shape", "camera", "translation_m", "box_side_px"):
            np.testing.assert_allclose(together[key][number], alone[key], atol=1e-3, err_msg=key)


@pytest.mark.slow
def test_video_keeps_and_reports_frames_without_people(
    clip: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    triples = np.column_stack([np.random.default_rng(0).uniform(20, 70, (17, 2)), np.full(17, 2)])
    images = [{"id": i, "file_name": f"elsewhere/clip.mp4#{i}"} for i in (0, 3)]
    people = [{"id": i, "image_id": i, "keypoints": triples.ravel().tolist()} for i in (0, 3)]
    (tmp_path / "k.json").write_text(json.dumps({"images": images, "annotations": people}))
    words = ["predict", str(clip), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]
    assert main([*words, "--keypoints", str(tmp_path / "k.json")]) == 0
    output = capsys.readouterr().err
    assert all(f"skipped: clip.mp4#{i}: no person in" in output for i in (1, 2, 4))
    assert np.load(tmp_path / "out" / "clip.npz")["frame"].tolist() == [0, 3]
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    drawn, plain = frames(tmp_path / "out" / "clip-overlay.mp4"), frames(clip)
    assert len(drawn) == 5
    assert all(np.abs(drawn[i].astype(int) - plain[i]).mean() < 8 for i in (1, 2, 4))


@pytest.mark.slow
def test_video_outputs_report_divergence(clip: Path, checkpoint: Path, tmp_path: Path):
    """Of two people in three frames, only the second diverges, in the last frame."""
    rng = np.random.default_rng(0)
    sane = np.column_stack([rng.uniform(20, 70, (17, 2)), np.full(17, 2)])
    images = [{"id": i, "file_name": f"clip.mp4#{i}"} for i in (0, 2, 4)]
    people = [{"id": n, "image_id": i, "keypoints": sane.ravel().tolist()} for n, i in enumerate((0, 0, 2, 2, 4, 4))]
    (tmp_path / "k.json").write_text(json.dumps({"images": images, "annotations": people}))
    from meshtto.cli import predict as verb
    from meshtto.predict import recover as recovering

    own, numbers = recovering.recover_people, {"clip.mp4#4#1"}

    def recover(method, samples, phases):
        """As it is, with those people's adaptation given up."""
        found = own(method, samples, phases)
        for sample, person in zip(samples, found, strict=True):
            if sample.name in numbers:
                person.facts["diverged"], person.arrays["diverged"] = True, np.array(True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovering, "recover_people", recover)
        words = [str(clip), "--checkpoint", str(checkpoint), "--keypoints", str(tmp_path / "k.json")]
        verb.main([*words, "--frame-stride", "2", "--frame-meshes", "--out", str(tmp_path / "out")])
    out = tmp_path / "out"
    wanted = [False] * 5 + [True]
    arrays = np.load(out / "clip.npz")
    assert list(zip(arrays["frame"].tolist(), arrays["person"].tolist(), strict=True))[-1] == (4, 1)
    assert arrays["diverged"].tolist() == wanted
    assert arrays["steps"].tolist() == [2] * 6
    rows = json.loads((out / "clip.json").read_text())["people"]
    assert [row["diverged"] for row in rows] == wanted
    for frame, person, diverged in zip(arrays["frame"], arrays["person"], wanted, strict=True):
        stem = out / f"clip-{frame:06d}-{person}"
        assert stem.with_suffix(".obj").read_text().startswith(f"# diverged: {str(diverged).lower()}\n")
        assert trimesh.load(stem.with_suffix(".glb"), force="mesh").metadata["diverged"] is diverged


def test_overlay_draws_diverged_people_in_gray(tmp_path: Path):
    box = trimesh.creation.box()
    vertices = np.asarray(box.vertices) + np.array([0.0, 0, 5])
    files = Files(tmp_path, np.asarray(box.faces), False, False)
    shown = Frame(np.zeros((48, 64, 3), np.uint8), "clip.mp4#7", 7)
    for diverged in (False, True):
        arrays = {"focal_px": np.array(80.0), "principal_px": np.array([31.5, 23.5]), "diverged": np.array(diverged)}
        drawn = files.overlay(shown, [Person(0, vertices, arrays, {})]).reshape(-1, 3).astype(int)
        painted = drawn[drawn.max(1) > 60]
        assert len(painted) > 50
        assert (np.ptp(painted, 1).max() <= 2) == diverged


def test_interrupted_video_keeps_results(tmp_path: Path):
    box = trimesh.creation.box()
    vertices = np.asarray(box.vertices, np.float32) + np.array([0, 0, 5], np.float32)
    arrays = {"pose": np.zeros(72), "focal_px": np.array(80.0), "principal_px": np.zeros(2), "vertices_m": vertices}
    arrays |= {"diverged": np.array(True)}
    facts = {"body": "b", "axes": "a", "pose_is": "p", "steps": 0, "diverged": True, "losses": []}
    shown = Frame(np.zeros((48, 64, 3), np.uint8), "clip.mp4#7", 7)
    files = Files(tmp_path, np.asarray(box.faces), False, False)

    def interrupted() -> None:
        with VideoFiles(files, "clip.mp4", 10.0) as writer:
            writer.add(shown, [Person(0, vertices, arrays, facts)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert np.load(tmp_path / "clip.npz")["frame"].tolist() == [7]
    assert json.loads((tmp_path / "clip.json").read_text())["people"][0]["frame"] == 7
    assert len(frames(tmp_path / "clip-overlay.mp4")) == 1


def test_full_disk_does_not_lose_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    box = trimesh.creation.box()
    vertices = np.asarray(box.vertices, np.float32) + np.array([0, 0, 5], np.float32)
    arrays = {"pose": np.zeros(72), "focal_px": np.array(80.0), "principal_px": np.array([31.5, 23.5])}
    arrays |= {"vertices_m": vertices, "diverged": np.array(False)}
    facts = {"body": "b", "axes": "a", "pose_is": "p", "steps": 0, "diverged": False, "losses": []}
    person = Person(0, vertices, arrays, facts)
    monkeypatch.setattr("hamipose.io.video.free_bytes", lambda path: 0)
    files = Files(tmp_path, np.asarray(box.faces), True, True)

    def recover() -> None:
        with VideoFiles(files, "clip.mp4", 10.0) as writer:
            writer.add(Frame(np.zeros((48, 64, 3), np.uint8), "clip.mp4#7", 7), [person])

    with pytest.raises(UserError, match=r"clip-overlay\.mp4 cannot be written \(No space left on device\)"):
        recover()
    assert np.load(tmp_path / "clip.npz")["frame"].tolist() == [7]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.json", "clip.npz"]

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("hamipose.io.image_file.write_bytes", full)  # images are written after the numbers
    with pytest.raises(OSError, match="No space left"):
        ImageFiles(files).add(Frame(np.zeros((48, 64, 3), np.uint8), "a.jpg"), [person])
    assert {"a-0.npz", "a-0.json"} <= {path.name for path in tmp_path.iterdir()}


def test_photo_orientation_equals_that_in_a_folder(tmp_path: Path):
    lying = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    tag = Image.Exif()
    tag[0x0112] = 6  # the camera was held upright
    lying.save(tmp_path / "a.jpg", exif=tag)
    (one,), (other,) = open_frames(str(tmp_path / "a.jpg")), open_frames(str(tmp_path))
    assert one.image.shape == (60, 40, 3)
    np.testing.assert_array_equal(one.image, other.image)


def test_open_frames_rejects_overwriting_names(tmp_path: Path):
    for name in ("a.png", "sub/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png and .*a\.jpg would be written to files of the same name"):
        open_frames(str(tmp_path))


def test_frame_names_sort_by_time():
    image = np.zeros((1, 1, 3), np.uint8)
    stems = [Frame(image, f"my.clip.mp4#{number}", number).stem for number in (2, 10, 100)]
    assert stems == sorted(stems) == ["my.clip-000002", "my.clip-000010", "my.clip-000100"]
    assert Frame(image, "photo.jpg").stem == "photo"


def test_frame_names_may_contain_the_separator(tmp_path: Path):
    (tmp_path / "take #2").mkdir()
    cv2.imwrite(str(tmp_path / "take #2" / "a#1.png"), np.zeros((8, 8, 3), np.uint8))
    ((one,), (other,)) = (open_frames(str(p)) for p in (tmp_path / "take #2", tmp_path / "take #2" / "a#1.png"))
    assert (one.name, one.number, one.stem) == (other.name, other.number, other.stem) == ("a#1.png", None, "a#1")
    with VideoWriter(tmp_path / "take #2" / "b#1.mp4", 10.0) as video:
        video.add(np.zeros((48, 64, 3), np.uint8))
    (frame,) = open_frames(str(video.path))
    assert (frame.name, frame.number, frame.stem) == ("b#1.mp4#0", 0, "b#1-000000")

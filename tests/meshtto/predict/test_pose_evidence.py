"""2D evidence from a model of hamipose, on the images from which meshes are recovered."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import hamipose
from hamipose.cli import main as hamipose_main
from hamipose.geometry.crops import padded_box
from hamipose.models.person_detection import PersonDetector
from hamipose.skeletons import BODY16
from meshtto.cli import main
from meshtto.joints import JOINTS24, JOINTS49
from meshtto.predict.frames import Frame, open_frames
from meshtto.predict.pose_evidence import PoseModel

#: Points with different names in body16 and the joints of the data sets.
OTHER_NAMES = {"head": "head_top"}


@pytest.fixture
def photos(tmp_path: Path, clip: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for shown in open_frames(str(clip)):
        cv2.imwrite(str(folder / f"p{shown.number}.png"), shown.image[..., ::-1])
    return folder


def test_pose_model_keypoints_match_joints_by_name(pose_checkpoint: Path, photos: Path):
    shown = list(open_frames(str(photos)))
    model = hamipose.load(pose_checkpoint, device="cpu").use_default_passes()
    found = model.predict([one.image for one in shown])
    people = PoseModel(str(pose_checkpoint), "cpu").find_people(shown)
    assert [len(one) for one in people] == [1] * 5
    slots = [25 + JOINTS24.index(OTHER_NAMES.get(name, name)) for name in BODY16.keypoints]
    for (evidence,), person in zip(people, found, strict=True):
        np.testing.assert_allclose(evidence.keypoints_px[slots], person.keypoints_px, atol=1e-3)
        np.testing.assert_allclose(evidence.confidence[slots], person.confidence.clip(0, 1), atol=1e-5)
        others = np.setdiff1d(np.arange(49), slots)
        assert "nose" in {JOINTS49[i] for i in others}
        assert not evidence.confidence[others].any()
    confidences = np.stack([one[0].confidence[slots] for one in people])
    assert confidences.std() > 0.05  # confidences of the model, not ones
    assert np.ptp(confidences, axis=0).max() > 0.05  # different for each image


def test_pose_model_batch_equals_single_images(pose_checkpoint: Path, photos: Path):
    model = PoseModel(str(pose_checkpoint), "cpu")
    shown = list(open_frames(str(photos)))
    for (together,), one in zip(model.find_people(shown), shown, strict=True):
        ((alone,),) = model.find_people([one])
        np.testing.assert_allclose(together.keypoints_px, alone.keypoints_px, atol=1e-3)
        np.testing.assert_allclose(together.confidence, alone.confidence, atol=1e-5)
    assert model.find_people([]) == []


def test_predict_ignores_low_confidence_keypoints(
    pose_checkpoint: Path, checkpoint: Path, photos: Path, get_error: Any
):
    words = ["predict", photos / "p0.png", "--checkpoint", checkpoint, "--pose-checkpoint", pose_checkpoint]
    error = get_error(*words, "--min-confidence", 1, "--out", photos / "out")
    assert "p0.png: the highest keypoint confidence is" in error
    assert "--min-confidence" in error


@pytest.mark.slow
@pytest.mark.parametrize("what", ["photos", "clip"])
def test_pose_model_equals_hamipose_predict(
    what: str, pose_checkpoint: Path, checkpoint: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    """`hamipose predict` and its file as --keypoints give equal meshes, up to the file's rounding to 0.01 px."""
    source = str(request.getfixturevalue(what))
    found, one, other = (tmp_path / name for name in ("found", "one", "other"))
    own = ["predict", source, "--checkpoint", str(pose_checkpoint), "--out", str(found)]
    assert hamipose_main(own) == 0
    words = ["predict", source, "--checkpoint", str(checkpoint), "--steps", "2", "--no-images"]
    assert main([*words, "--keypoints", str(found / "predictions.json"), "--out", str(one)]) == 0
    assert main([*words, "--pose-checkpoint", str(pose_checkpoint), "--out", str(other)]) == 0
    names = sorted(path.name for path in one.glob("*.npz"))
    assert names == sorted(path.name for path in other.glob("*.npz"))
    assert len(names) == (5 if what == "photos" else 2)  # a video has a smoothed variant
    for name in names:
        left, right = np.load(one / name), np.load(other / name)
        assert sorted(left) == sorted(right)
        for key in left:
            tolerance = 0.02 if key.endswith("_px") else 2e-3
            np.testing.assert_allclose(left[key], right[key], rtol=1e-3, atol=tolerance, err_msg=key)
    assert not list(other.glob("*.png"))


def test_pose_model_errors_are_one_line(
    pose_checkpoint: Path, checkpoint: Path, hand_checkpoint: Path, photos: Path, get_error: Any
):
    words = ["predict", photos, "--checkpoint", checkpoint]
    both = get_error(*words, "--keypoints", "k.json", "--pose-checkpoint", pose_checkpoint)
    assert "--keypoints and --pose-checkpoint are both given" in both
    assert "--pose-checkpoint and --no-keypoints are both given" in get_error(
        *words, "--pose-checkpoint", "x", "--no-keypoints"
    )
    assert "--detector is given with --no-keypoints" in get_error(*words, "--detector", "x", "--no-keypoints")
    hand = get_error(*words, "--pose-checkpoint", hand_checkpoint)
    assert "hand21, none of which is a joint of the body; expected a model of body16, coco17, lsp14" in hand
    assert "nowhere.ckpt does not exist" in get_error(*words, "--pose-checkpoint", photos / "nowhere.ckpt")
    assert "was saved by meshtto and recovers meshes" in get_error(*words, "--pose-checkpoint", checkpoint)
    assert "--steps 3 is given with --no-keypoints" in get_error(*words, "--steps", 3, "--no-keypoints")
    assert "cannot be used here" in get_error(*words, "--device", "cuda:77")
    assert "was not saved by meshtto" in get_error("predict", photos, "--checkpoint", pose_checkpoint)
    (photos / "taken").write_text("")
    assert "taken cannot be created" in get_error(*words, "--out", photos / "taken")


class _TwoHalves(PersonDetector):
    """Finds a person in the left and in the right half of an image, and nobody in small ones."""

    name = "halves"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        rows = [] if width < 20 else [[0, 0, width / 2, height, 0.9], [width / 2, 0, width / 2, height, 0.8]]
        return np.array(rows, np.float32).reshape(-1, 5)


def test_pose_model_finds_several_people_with_a_detector(pose_checkpoint: Path):
    """Check that each person is found in its own crop, also in a batch with images of other sizes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (size, size, 3), dtype=np.uint8) for size in (64, 16, 48)]
    shown = [Frame(image, f"{i}.png") for i, image in enumerate(images)]
    found = PoseModel(str(pose_checkpoint), "cpu", _TwoHalves()).find_people(shown)
    assert [len(people) for people in found] == [2, 1, 2]
    model = hamipose.load(pose_checkpoint, device="cpu").use_default_passes()
    slots = [25 + JOINTS24.index(OTHER_NAMES.get(name, name)) for name in BODY16.keypoints]
    for image, people in ((images[0], found[0]), (images[2], found[2])):
        for box, evidence in zip(_TwoHalves()(image), people, strict=True):
            (alone,) = model.predict(image, padded_box(box[:4], 1.25)[None])
            np.testing.assert_allclose(evidence.keypoints_px[slots], alone.keypoints_px, atol=1e-3)


@pytest.mark.slow
def test_predict_uses_the_best_installed_pose_model(checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture):
    words = ["predict", str(photos / "p0.png"), "--checkpoint", str(checkpoint), "--no-images"]
    assert main([*words, "--steps", "1", "--min-confidence", "0", "--out", str(photos / "out")]) == 0
    assert "the best installed one; --pose-checkpoint selects another" in capsys.readouterr().out
    assert int(np.load(photos / "out" / "p0-0.npz")["steps"]) == 1


def test_pose_model_accepts_model_folders(pose_checkpoint: Path, tmp_path: Path):
    from hamipose.models.model_io import save_model_folder

    model = hamipose.load(pose_checkpoint, device="cpu")
    folder = save_model_folder(tmp_path / "model", model.network, model.info)
    shown = [Frame(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8), "a.png")]
    ((one,),), ((other,),) = (PoseModel(str(path), "cpu").find_people(shown) for path in (folder, pose_checkpoint))
    np.testing.assert_array_equal(one.keypoints_px, other.keypoints_px)
    np.testing.assert_array_equal(one.confidence, other.confidence)

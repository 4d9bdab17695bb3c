import math
import os
import zipfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model

from hamipose.errors import UserError
from hamipose.models import blazepose_detector as blazepose
from hamipose.models.blazepose_detector import (
    BlazePoseDetector,
    anchor_centers,
    blazepose_detector,
    decode_people,
    detection_network,
    save_detector,
)
from hamipose.models.person_detection import (
    TORCHVISION,
    TorchvisionDetector,
    identify_architecture,
    torchvision_detector,
)
from tests.helpers.tflite_files import write_detector, write_landmark_model


class Answers(nn.Module):
    """Returns fixed results and stores its input."""

    def __init__(self, boxes: list[list[float]], labels: list[int], scores: list[float]):
        super().__init__()
        self.answer = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "scores": torch.tensor(scores)}

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        self.seen = images
        return [self.answer]


def test_detector_returns_people_above_threshold_best_first():
    corners = [[1.0, 2, 11, 32], [0, 0, 5, 5], [3, 3, 23, 43], [4, 4, 8, 9], [5, 5, 5.5, 30]]
    network = Answers(corners, [1, 18, 1, 1, 1], [0.6, 0.99, 0.9, 0.49, 0.8])
    image = np.full((50, 40, 3), (255, 0, 51), np.uint8)
    people = TorchvisionDetector(network, "detector", threshold=0.5, device="cpu")(image)
    np.testing.assert_allclose(people, [[3, 3, 20, 40, 0.9], [1, 2, 10, 30, 0.6]], rtol=1e-6)
    (seen,) = network.seen
    assert seen.shape == (3, 50, 40)
    np.testing.assert_allclose(seen[:, 0, 0], [1, 0, 0.2], rtol=1e-6)


def test_detector_without_people_returns_an_empty_array():
    network = Answers([[0.0, 0, 9, 9]], [2], [0.9])
    assert TorchvisionDetector(network, "detector", device="cpu")(np.zeros((9, 9, 3), np.uint8)).shape == (0, 5)


def test_unknown_device_is_rejected():
    with pytest.raises(UserError, match="device is 'gpu', which cannot be used here"):
        TorchvisionDetector(Answers([[0.0, 0, 9, 9]], [1], [0.9]), "detector", device="gpu")


@pytest.mark.slow
def test_state_dict_file_restores_the_detector(tmp_path: Path):
    network = get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights=None, weights_backbone=None).eval()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1] += 9  # detects people everywhere
    image = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    found = TorchvisionDetector(network, "itself", device="cpu")(image)
    assert len(found) > 0
    for nested in (False, True):  # as published by torchvision, and as saved by its training scripts
        path = tmp_path / f"weights_320_{nested}.pth"
        torch.save({"model": network.state_dict()} if nested else network.state_dict(), path)
        detector = torchvision_detector(str(path), 0.5, "cpu")
        assert detector.name == path.name
        np.testing.assert_array_equal(detector(image), found)


def test_architecture_is_identified_by_tensors():
    for name in TORCHVISION:
        with torch.device("meta"):
            state = get_model(name, weights=None, weights_backbone=None).state_dict()
        assert identify_architecture(state, Path(f"{name}-0123.pth")) == name


def test_missing_network_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = []

    def unreachable(request: object, *args: object, **kwargs: object) -> None:
        asked.append(request)
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(
        UserError, match=r"fasterrcnn_mobilenet_v3_large_fpn cannot be downloaded .*no network.*--detector"
    ):
        torchvision_detector("torchvision", 0.5)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [("torchvision:resnet50", "expected one of fasterrcnn"), ("nowhere.pth", "nowhere.pth does not exist")],
)
def test_unknown_detectors_are_rejected_in_one_line(given: str, message: str):
    with pytest.raises(UserError, match=message):
        torchvision_detector(given, 0.5)


def test_weights_of_another_network_are_rejected(tmp_path: Path):
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(UserError, match=r"torchvision detector.*conv\.weight"):
        torchvision_detector(str(path), 0.5)


# ---------------------------------------------------------------------------------------------------- MediaPipe's


def test_anchors_are_cell_centers():
    centers = anchor_centers()
    assert len(centers) == 28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6
    np.testing.assert_allclose(centers[0] * 224, [4, 4])
    np.testing.assert_allclose(centers[2] * 224, [12, 4])  # the next cell of the row
    np.testing.assert_allclose(centers[56] * 224, [4, 12])  # the next row
    np.testing.assert_allclose(centers[-1] * 224, [208, 208])


def answers(*people: tuple[int, float, tuple[float, float], float]) -> tuple[np.ndarray, np.ndarray]:
    """Return network outputs for people given by anchor, score, hips and radius in pixels of the input."""
    raw, logits = np.zeros((2254, 12), np.float32), np.full(2254, -60.0, np.float32)
    for anchor, score, hips, radius in people:
        center = anchor_centers()[anchor] * 224
        raw[anchor, 2:4] = 20
        raw[anchor, 4:6] = hips - center
        raw[anchor, 6:8] = raw[anchor, 4:6] + np.array([0.6, -0.8]) * radius
        logits[anchor] = math.log(score / (1 - score))
    return raw, logits


def test_decoded_people_are_circles_without_duplicates():
    given = answers((900, 0.7, (100.0, 120.0), 40.0), (901, 0.9, (102.0, 118.0), 44.0), (1800, 0.6, (30.0, 60.0), 28.0))
    people = decode_people(*given, 0.5)
    hips_and_rim = [[102, 118, 102 + 0.6 * 44, 118 - 0.8 * 44], [30, 60, 30 + 0.6 * 28, 60 - 0.8 * 28]]
    np.testing.assert_allclose(224 * people[:, :4], hips_and_rim, rtol=1e-4)
    np.testing.assert_allclose(people[:, 4], [0.9, 0.6], rtol=1e-4)
    assert len(decode_people(*given, 0.65)) == 1
    assert len(decode_people(*given, 0.95)) == 0


class Network(nn.Module):
    """Returns fixed results and stores its input."""

    def __init__(self, raw: np.ndarray, logits: np.ndarray):
        super().__init__()
        self.answer = torch.from_numpy(raw)[None], torch.from_numpy(logits)[None]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = images
        return self.answer


@pytest.mark.parametrize(("height", "width"), [(112, 56), (448, 896), (100, 333), (224, 224)])
def test_circle_maps_to_its_pixels(height: int, width: int):
    """A circle around a bright spot of the network's input must map back to the spot's position in the image."""
    image = np.zeros((height, width, 3), np.uint8)
    spot = (0.7 * width, 0.3 * height)
    side = max(height, width) // 16
    image[int(spot[1]) - side : int(spot[1]) + side, int(spot[0]) - side : int(spot[0]) + side] = 255
    network = Network(*answers((900, 0.9, (0.0, 0.0), 28.0)))
    detector = BlazePoseDetector(network, "detector")
    detector(image)
    seen = network.seen[0, 0].numpy() + 1
    assert network.seen.dtype == torch.float32
    assert network.seen.shape == (1, 3, 224, 224)
    assert seen.min() >= 0
    rows, columns = np.indices(seen.shape) + 0.5  # edges of pixels are whole numbers
    center = (float((columns * seen).sum() / seen.sum()), float((rows * seen).sum() / seen.sum()))
    network.answer = torch.from_numpy(answers((900, 0.9, center, 28.0))[0])[None], network.answer[1]
    (person,) = detector(image)
    np.testing.assert_allclose(person[:2] + person[2:4] / 2, [int(spot[0]), int(spot[1])], atol=0.02 * max(image.shape))
    shown = 1.25 * person[2]  # side of a crop in the image
    assert shown == pytest.approx(1.1 * 2 * 28 / 224 * max(height, width), rel=5e-3)
    assert person[2] == person[3]

    # For networks that accept rotated crops: MediaPipe's square, 1.25 times the circle, rotated.
    (turned,) = detector.crops(image)
    np.testing.assert_allclose(turned[:2] + turned[2:4] / 2, person[:2] + person[2:4] / 2, rtol=1e-4)
    assert turned[2] == turned[3] == pytest.approx(1.25 * 2 * 28 / 224 * max(height, width), rel=5e-3)
    assert turned[4] == person[4]
    assert turned[5] == pytest.approx(math.degrees(math.atan2(0.6, 0.8)), abs=0.5)


def test_crops_without_rotation_are_boxes_with_a_margin():
    network = Answers([[10.0, 20, 30, 60]], [1], [0.9])
    (crop,) = TorchvisionDetector(network, "detector", device="cpu").crops(np.zeros((90, 90, 3), np.uint8), margin=1.5)
    np.testing.assert_allclose(crop, [5, 10, 30, 60, 0.9, 0], rtol=1e-6)


def test_files_without_detector_are_rejected(tmp_path: Path):
    wheel = tmp_path / "mediapipe-1.2.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/__init__.py", "")
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"no zip")
    for path, message in (
        (wheel, r"0\.10\.21 is the last"),
        (broken, "a text file, not a wheel"),
        (tmp_path / "no.tflite", "not exist"),
    ):
        with pytest.raises(UserError, match=message):
            blazepose_detector(path, 0.5)
    for name, content in (("a", b"x"), ("landmarks", write_landmark_model())):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"is not MediaPipe's pose_detection\.tflite"):
            blazepose_detector(path, 0.5)


def test_detector_is_read_from_a_wheel_and_saved_as_a_folder(tmp_path: Path):
    wheel = tmp_path / "mediapipe-0.10.21-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/modules/pose_detection/pose_detection.tflite", write_detector())
    image = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    from_wheel = blazepose_detector(wheel, 0.1)
    found = from_wheel(image)
    assert len(found) > 0
    save_detector(tmp_path / "saved", detection_network(write_detector()))
    saved = blazepose_detector(tmp_path / "saved", 0.1)
    np.testing.assert_array_equal(saved(image), found)
    assert saved.name == "saved"
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is a text file, not a PyTorch file; fetch it again"):
        blazepose_detector(tmp_path / "saved", 0.1)


@pytest.mark.skipif("HAMIPOSE_MEDIAPIPE" not in os.environ, reason="HAMIPOSE_MEDIAPIPE names no wheel of mediapipe")
def test_real_detector_finds_people_in_lsp():
    from hamipose.io.image_file import read_image

    images = sorted((Path(__file__).parents[4] / "shared/data/lsp/images").glob("im10[0-4]?.jpg"))
    detector = blazepose_detector(os.environ["HAMIPOSE_MEDIAPIPE"], 0.5)
    assert sum(len(detector(read_image(path))) > 0 for path in images) > 0.8 * len(images) > 0
    assert blazepose.anchor_centers().shape == (2254, 2)

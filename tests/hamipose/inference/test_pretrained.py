"""Prediction with pretrained networks: rotated crops, several passes, and the network's own detector."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, crop_matrix, upright_box
from hamipose.geometry.crops import whole_image_box
from hamipose.heatmaps import encode
from hamipose.inference.export import export_onnx
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from hamipose.models.blazepose_detector import detection_network, save_detector
from hamipose.models.model_io import ModelInfo, save_model_folder
from hamipose.models.preprocess import IMAGENET_MEAN, IMAGENET_STD
from hamipose.models.pretrained.fetch import blazepose_info
from hamipose.models.pretrained.interface import FinetunableNetwork, PretrainedNetwork
from hamipose.models.pretrained.mediapipe import BlazePose, read_landmark_network
from hamipose.skeletons import COCO17
from hamipose.types import UnlabeledSample
from tests.helpers.tflite_files import write_detector, write_landmark_model

RED, GREEN = (255, 0, 0), (0, 255, 0)


def person(turn_deg: float, middle: tuple[float, float] = (150.0, 110.0), length: float = 40.0) -> np.ndarray:
    """Return an image of a red spot and a green one at a distance in the given direction (0 is up)."""
    image = np.zeros((240, 320, 3), np.uint8)
    angle = np.deg2rad(turn_deg)
    above = (middle[0] + length * np.sin(angle), middle[1] - length * np.cos(angle))
    for (x, y), color in ((middle, RED), (above, GREEN)):
        cv2.circle(image, (round(x), round(y)), 4, color, -1)
    return image


class SpotFinder(FinetunableNetwork):
    """Finds a red and a green spot: the alignment points; every keypoint is the red one."""

    skeleton = COCO17
    image_size = 64
    passes = 3

    def __init__(self) -> None:
        super().__init__()
        self.final = nn.Conv2d(1, len(COCO17), 1)
        self.seen: list[Tensor] = []

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        raise NotImplementedError

    def _spots(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        colors = (images * std + mean)[:, :2].clamp(min=0) ** 4
        rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        mass = colors.sum((2, 3))
        x, y = ((colors * grid).sum((2, 3)) / mass for grid in (columns, rows))
        return torch.stack([x, y], -1)

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        self.seen.append(images)
        return self._spots(images)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        self.seen.append(images)
        points = self._spots(images)[:, :1].expand(-1, len(COCO17), 2)
        return encode(points.contiguous(), (64, 64))


INFO = ModelInfo("coco17", "spots", (), 64)


@pytest.mark.parametrize("turn_deg", [0.0, 70.0, 180.0, -135.0])
def test_passes_align_the_crop_with_the_person(turn_deg: float):
    """After the first pass, the person is upright, centered, and of the size given by the two points."""
    network = SpotFinder()
    model = Predictor(network, INFO, "cpu")
    assert model.passes == 3
    (found,) = model.predict(person(turn_deg))
    assert len(network.seen) == 3
    middle, above = network._spots(network.seen[-1])[0].numpy()
    np.testing.assert_allclose(middle, [31.5, 31.5], atol=1.0)
    np.testing.assert_allclose(above - middle, [0, -64 / 2.5], atol=1.5)
    np.testing.assert_allclose(found.keypoints_px, [[150, 110]] * 17, atol=1.0)
    # A square of 2.5 × 40 px, turned: the box about it.
    side = 100 * (abs(np.sin(np.deg2rad(turn_deg))) + abs(np.cos(np.deg2rad(turn_deg))))
    np.testing.assert_allclose(found.region_px[2:], side, rtol=0.06)


class UprightSpotFinder(SpotFinder):
    """Is confident only if the green spot is above the red one; otherwise, it takes the crop as it is."""

    passes = 2

    def _upright(self, images: Tensor) -> Tensor:
        red, green = self._spots(images).unbind(1)
        return green[:, 1] < red[:, 1] - (green[:, 0] - red[:, 0]).abs()

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        middle = torch.tensor([[31.5, 31.5], [31.5, -1e6]]).expand(len(images), 2, 2)
        return torch.where(self._upright(images)[:, None, None], super().alignment(images), middle)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        return super().forward(images) * torch.where(self._upright(images), 0.9, 0.3)[:, None, None, None]


@pytest.mark.parametrize(("turn_deg", "passes"), [(10.0, 2), (100.0, 7), (180.0, 7), (-80.0, 7)])
def test_person_of_low_confidence_is_tried_in_rotated_crops(turn_deg: float, passes: int):
    """A confident person costs two passes; another one costs one more per rotation, and two in the best one."""
    network = UprightSpotFinder()
    model = Predictor(network, INFO, "cpu")
    upright, other = model.predict([person(0), person(turn_deg)], batch_size=2)
    assert upright.confidence.mean() > 0.8
    assert other.confidence.mean() > 0.8
    np.testing.assert_allclose(other.keypoints_px, [[150, 110]] * 17, atol=1.0)
    assert sum(len(images) == 2 for images in network.seen) == 2
    assert len(network.seen) == passes
    middle, above = network._spots(network.seen[-1])[-1].numpy()
    assert above[1] < middle[1] - 10
    (aligned,) = model.align([UnlabeledSample(person(turn_deg), whole_image_box(320, 240), "a.png")])
    assert (aligned.rotation_deg - turn_deg + 180) % 360 - 180 == pytest.approx(0, abs=3)


def test_single_pass_uses_the_given_crop():
    network = SpotFinder()
    model = Predictor(network, INFO, "cpu", passes=1)
    model.predict(person(30))
    assert len(network.seen) == 1


@pytest.mark.parametrize(
    ("middle", "above"), [((np.nan, 3.0), (2.0, 1.0)), ((1e6, 1e6), (9.0, 9.0)), ((32, 32), (32, 32))]
)
def test_implausible_points_keep_the_crop(
    middle: tuple[float, float], above: tuple[float, float], monkeypatch: pytest.MonkeyPatch
):
    network = SpotFinder()
    monkeypatch.setattr(network, "alignment", lambda images: torch.tensor([[middle, above]]).expand(len(images), 2, 2))
    (found,) = Predictor(network, INFO, "cpu").predict(person(30))
    np.testing.assert_allclose(found.region_px, [0, -40, 320, 320], atol=1e-3)


def test_invalid_passes_are_rejected():
    with pytest.raises(UserError, match="passes is 0, expected at least 1"):
        Predictor(SpotFinder(), INFO, "cpu", passes=0)


class SquareFinder(PretrainedNetwork):
    """Finds the corners of the bright region of its crop, and has no alignment points."""

    skeleton = COCO17
    image_size = 64

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        maps = []
        for image in images:
            rows, columns = torch.nonzero(image[0] > 0, as_tuple=True)
            low, high = [torch.stack([columns, rows], -1).float().aminmax(dim=0)[i] for i in (0, 1)]
            points = torch.stack([low, high] * 8 + [low])
            maps.append(encode(points[None], (64, 64))[0])
        return torch.stack(maps)


def test_align_runs_no_network_whose_crop_is_given(monkeypatch: pytest.MonkeyPatch):
    network = SquareFinder()
    monkeypatch.setattr(network, "forward", None)  # a call fails
    sample = UnlabeledSample(person(0), whole_image_box(320, 240), "a.png")
    (aligned,) = Predictor(network, ModelInfo("coco17", "squares", (), 64), "cpu").align([sample])
    np.testing.assert_allclose(aligned.box_px, [0, -40, 320, 320], atol=1e-3)


def test_second_pass_follows_keypoints_without_alignment_points():
    """The square is 40 px wide: the second crop is 1.4 times as wide and centered on it."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[100:140, 200:240] = 255
    info = ModelInfo("coco17", "squares", (), 64)
    (once,), (twice,) = (Predictor(SquareFinder(), info, "cpu", passes=n).predict(image) for n in (None, 2))
    np.testing.assert_allclose(once.region_px, [0, -40, 320, 320], atol=1e-3)
    np.testing.assert_allclose(twice.region_px, [192, 92, 56, 56], atol=8)  # a pixel of the first crop is 5 px
    np.testing.assert_allclose(twice.keypoints_px[:2], [[200, 100], [239, 139]], atol=1.5)


def test_upright_box_and_crop_matrix_are_consistent():
    box, turn_deg = upright_box(np.array([150.0, 110.0]), np.array([190.0, 110.0]), 1.25)
    assert turn_deg == pytest.approx(90)
    matrix = crop_matrix(box, 64, turn_deg)
    crop = apply_points(matrix, np.array([[150.0, 110.0], [190.0, 110.0]]))
    np.testing.assert_allclose(crop, [[31.5, 31.5], [31.5, 31.5 - 64 / 2.5]], atol=1e-4)


@pytest.fixture
def blazepose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlazePose:
    """Install a small network and detector in the cache as blazepose-lite."""
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pose_landmark_lite.tflite"
    file.write_bytes(write_landmark_model())
    network = read_landmark_network(file)
    save_model_folder(tmp_path / "cache/models/blazepose-lite", network, blazepose_info("blazepose-lite"))
    save_detector(tmp_path / "cache/models/blazepose-detector", detection_network(write_detector()))
    return network


def test_predict_accepts_a_model_name(blazepose: BlazePose, tmp_path: Path, capsys: pytest.CaptureFixture):
    samples = tmp_path / "samples"
    samples.mkdir()
    cv2.imwrite(str(samples / "0.png"), np.full((60, 50, 3), 90, np.uint8))
    words = ["predict", str(samples), "--checkpoint", "blazepose-lite", "--no-overlays", "--device", "cpu"]
    # Above every score of the small detector: the whole image is used.
    assert main([*words, "--detector-threshold", "0.9999999", "--out", str(tmp_path / "a")]) == 0
    output = capsys.readouterr().out
    assert "detecting people with blazepose-detector" in output
    assert "images without people (used as whole images): 1" in output
    content = json.loads((tmp_path / "a/predictions.json").read_text())
    assert content["categories"][0]["keypoints"] == list(COCO17.keypoints)
    assert len(content["annotations"]) == 1
    more = ["--no-detector", "--passes", "1", "--skeleton", "body16", "--out", str(tmp_path / "b")]
    assert main([*words, *more]) == 0
    assert "detecting people" not in capsys.readouterr().out
    content = json.loads((tmp_path / "b/predictions.json").read_text())
    assert len(content["categories"][0]["keypoints"]) == 16
    assert content["annotations"][0]["bbox"] == [-5, 0, 60, 60]
    assert main([*words, "--no-detector", "--detector", "blazepose"]) == 2
    assert "--no-detector is given with" in capsys.readouterr().err


def test_load_accepts_a_mediapipe_file(blazepose: BlazePose, tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8)
    by_name, by_file = (load(what, device="cpu") for what in ("blazepose-lite", tmp_path / "pose_landmark_lite.tflite"))
    np.testing.assert_array_equal(by_name.predict(image)[0].keypoints_px, by_file.predict(image)[0].keypoints_px)


@pytest.mark.slow
def test_exported_heatmaps_equal_the_models(blazepose: BlazePose, tmp_path: Path):
    pytest.importorskip("onnxscript", reason="extra `export` is not installed")
    assert export_onnx(load("blazepose-lite", device="cpu"), tmp_path / "pose.onnx") < 1e-3

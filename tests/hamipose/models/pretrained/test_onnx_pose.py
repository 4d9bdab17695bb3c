"""Keypoints of pose networks in ONNX files lie at the correct pixels of the image."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hamipose import load
from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.inference.export import export_onnx
from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo, save_model_folder
from hamipose.skeletons import BODY16, COCO17
from tests.helpers.onnx_files import reuse_export, write_heatmap_model, write_simcc_model

pytest.importorskip("onnxruntime", reason="extra `export` is not installed")

#: A person's box in a picture of 200 × 150 px, as high and wide as 64 × 48 px shown twice as large.
BOX = [40.0, 10.0, 96.0, 128.0]


def spot(x: float, y: float, sigma: float) -> np.ndarray:
    """Return an image whose red channel is a Gaussian around a point."""
    columns, rows = np.meshgrid(np.arange(200), np.arange(150))
    image = np.zeros((150, 200, 3), np.uint8)
    image[..., 0] = np.round(255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)))
    return image


def image_point(x: float, y: float) -> tuple[float, float]:
    """Return the image pixel of a crop pixel; both refer to pixel centers."""
    return BOX[0] - 0.5 + 2 * (x + 0.5), BOX[1] - 0.5 + 2 * (y + 0.5)


@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_heatmap_peak_maps_to_its_pixel(tmp_path: Path, batch: int | str):
    """Cell u of this network is the middle of pixels 4u to 4u + 3, at 4u + 1.5, as its metadata state."""
    model = load(write_heatmap_model(tmp_path / "pose.onnx", batch=batch, offset_px="1.5"), device="cpu")
    assert (model.info.image_size, model.network.aspect, model.skeleton) == (64, 0.75, COCO17)
    places = [image_point(20.3, 31.0), image_point(30.0, 40.7), image_point(15.0, 20.0)]
    found = model.predict([spot(*place, sigma=12) for place in places], [BOX] * 3)
    for person, place in zip(found, places, strict=True):
        np.testing.assert_allclose(person.keypoints_px, [place] * 17, atol=0.5)
        np.testing.assert_allclose(person.region_px, [24, 10, 128, 128], atol=1e-3)
        assert (np.diff(person.confidence) < 0).all()


def test_heatmaps_without_metadata_have_cell_0_at_pixel_0(tmp_path: Path):
    own, other = (
        load(write_heatmap_model(tmp_path / name, **about), device="cpu")
        for name, about in (("own.onnx", {"offset_px": "1.5"}), ("other.onnx", {}))
    )
    place = image_point(20.0, 30.0)
    a, b = (m.predict(spot(*place, sigma=12), [BOX])[0].keypoints_px for m in (own, other))
    np.testing.assert_allclose(a - b, np.full((17, 2), 3.0), atol=1e-3)  # 1.5 px of the crop


@pytest.mark.parametrize("batch", ["batch", 1])
def test_simcc_peak_maps_to_its_pixel(tmp_path: Path, batch: int | str):
    """The highest bin is 2x: the keypoint is at pixel x of the network's input."""
    model = load(write_simcc_model(tmp_path / "rtmpose.onnx", batch=batch), device="cpu")
    places = [image_point(20, 31), image_point(33, 12), image_point(0, 63)]
    found = model.predict([spot(*place, sigma=4) for place in places], [BOX] * 3)
    for person, place in zip(found, places, strict=True):
        np.testing.assert_allclose(person.keypoints_px, [place] * 17, atol=1e-3)
        assert ((person.confidence > 0.5) & (person.confidence <= 1)).all()
    with pytest.raises(UserError, match="heatmaps were requested"):
        model.predict(spot(*places[0], sigma=4), [BOX], heatmaps=True)


def test_images_are_normalized_unless_bytes(tmp_path: Path):
    """White is (1 − mean) / std in the red channel, or 255."""
    white = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    numbers = load(write_heatmap_model(tmp_path / "a.onnx"), device="cpu").heatmaps(white)
    assert float(numbers.max()) == pytest.approx(0.2 * (1 - 0.485) / 0.229, rel=1e-4)
    assert (numbers[..., :2] == 0).all()  # outside the network's input
    assert (numbers[..., -2:] == 0).all()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path]:
    """Return a model and its ONNX file."""
    pytest.importorskip("onnxscript", reason="extra `export` is not installed")
    torch.manual_seed(0)
    info = ModelInfo("body16", "test_resnet", (8, 8, 8), 64, "SourceOnly")
    network = info.network()
    torch.nn.init.normal_(network.final.weight, std=0.3)
    model, path = Predictor(network, info, "cpu"), tmp_path_factory.mktemp("exported") / "pose.onnx"
    export_onnx(model, path)
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize("quantized", [False, True])
def test_own_export_equals_the_model(
    exported: tuple[Predictor, Path], tmp_path: Path, quantized: bool, monkeypatch: pytest.MonkeyPatch
):
    plain, path = exported
    model = Predictor(plain.network, replace(plain.info, quantized=quantized), "cpu")
    reuse_export(monkeypatch, path)  # the encoding of the targets only changes the metadata
    export_onnx(model, tmp_path / "pose.onnx")
    again = load(tmp_path / "pose.onnx", device="cpu")
    assert again.skeleton is BODY16
    assert again.info.method == "SourceOnly"
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8)
    ours, theirs = (m.predict(image)[0] for m in (model, again))
    np.testing.assert_allclose(theirs.keypoints_px, ours.keypoints_px, atol=0.05)
    np.testing.assert_allclose(theirs.confidence, ours.confidence, atol=1e-4)
    with pytest.raises(UserError, match=r"pose\.onnx is used from its own file"):
        save_model_folder(tmp_path / "folder", again.network, again.info)
    with pytest.raises(UserError, match=r"pose\.onnx is used from its own file"):
        export_onnx(again, tmp_path / "again.onnx")


def test_keypoint_names_come_from_the_metadata(tmp_path: Path):
    names = [f"point{k}" for k in range(17)]
    model = load(write_heatmap_model(tmp_path / "a.onnx", keypoints=",".join(names)), device="cpu")
    assert list(model.skeleton.keypoints) == names
    with pytest.raises(UserError, match="17 keypoints, but its metadata name 3"):
        load(write_heatmap_model(tmp_path / "b.onnx", keypoints="a,b,c"))
    with pytest.raises(UserError, match="offset_px 'left' in its metadata"):
        load(write_heatmap_model(tmp_path / "c.onnx", offset_px="left"))
    with pytest.raises(UserError, match=r"skeleton is 'body16', but .*has the keypoints of coco17"):
        load(write_heatmap_model(tmp_path / "d.onnx"), skeleton="body16")
    with pytest.raises(UserError, match=r"has the input input: tensor\(float\) of \['batch', 3, 48, 64\]; expected"):
        load(write_heatmap_model(tmp_path / "e.onnx", height=48, width=64))


def test_unusable_files_are_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    for name, message in (("broken", "cannot be opened as an ONNX file"), ("gone", "does not exist")):
        with pytest.raises(UserError, match=message) as error:
            load(tmp_path / f"{name}.onnx")
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime, which is not installed: pip install 'hamipose\[export\]'"):
        load(tmp_path / "broken.onnx")


def test_predict_accepts_an_onnx_file(tmp_path: Path, capsys: pytest.CaptureFixture):
    place = image_point(20, 31)
    cv2.imwrite(str(tmp_path / "a.png"), spot(*place, sigma=4)[..., ::-1])
    file = write_simcc_model(tmp_path / "rtmpose.onnx")
    words = [
        "predict",
        str(tmp_path / "a.png"),
        "--checkpoint",
        str(file),
        "--out",
        str(tmp_path / "out"),
        "--passes",
        "1",
    ]
    assert main(words) == 0
    (person,) = json.loads((tmp_path / "out/predictions.json").read_text())["annotations"]
    np.testing.assert_allclose(person["keypoints"][:2], place, atol=4)  # a pixel of the whole image's crop
    assert "each whole image is used as one person" in capsys.readouterr().out
    assert main([*words, "--heatmaps"]) == 2
    assert "only predicts keypoints" in capsys.readouterr().err

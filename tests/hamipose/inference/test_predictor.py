from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import hamipose
from hamipose.errors import UserError
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_batch_equals_single_images(model: Predictor, image_folder: Path):
    paths = sorted(image_folder.iterdir())
    together = model.predict(paths, batch_size=2)
    for path, found in zip(paths, together, strict=True):
        (alone,) = model.predict(path)
        np.testing.assert_allclose(found.keypoints_px, alone.keypoints_px, atol=1e-3)
        np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-5)
        assert found.name == str(path)


def test_arrays_equal_files(model: Predictor, image_folder: Path):
    path = image_folder / "p0.png"
    np.testing.assert_array_equal(model.predict(path)[0].keypoints_px, model.predict(read(path))[0].keypoints_px)


def test_box_equals_cropped_image(model: Predictor, image_folder: Path):
    image = read(image_folder / "p1.png")
    left, top, side = 17, 9, 32
    (boxed,) = model.predict(image, [(17.0, 9.0, 32.0, 32.0)])
    (cut,) = model.predict(image[top : top + side, left : left + side])
    apart = np.abs(boxed.keypoints_px - cut.keypoints_px - np.array([left, top])).max(-1)
    assert np.median(apart) < 0.1  # near its edge, only one of the two reads the pixels beyond
    assert (apart >= 0.75).sum() <= 2  # of 16; with torch 2.10 two, with 2.15 fewer
    np.testing.assert_allclose(boxed.region_px, [left, top, side, side], atol=1e-4)


def test_heatmaps_are_returned_only_on_request(model: Predictor, image_folder: Path):
    assert model.predict(image_folder / "p0.png")[0].heatmaps is None
    maps = model.predict(image_folder / "p0.png", heatmaps=True)[0].heatmaps
    assert maps is not None
    assert maps.shape == (16, 16, 16)


def test_model_folder_restores_the_model(model: Predictor, model_folder: Path, image_folder: Path):
    again = hamipose.load(model_folder)
    assert again.info == model.info
    np.testing.assert_array_equal(
        again.predict(image_folder / "p2.png")[0].keypoints_px, model.predict(image_folder / "p2.png")[0].keypoints_px
    )


def test_load_overrides_the_image_size(model_folder: Path):
    assert load(model_folder, image_size=96).info.image_size == 96


def checkpoint(model: Predictor, path: Path, **content: object) -> Path:
    hparams = {"method": "SourceOnly", "skeleton": "body16", "backbone": "resnet10t", "deconv_channels": [16, 16, 16]}
    state = {f"network.{name}": value for name, value in model.network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "hyper_parameters": hparams, **content}, path)
    return path


def test_load_accepts_checkpoints_and_run_folders(model: Predictor, tmp_path: Path, image_folder: Path):
    path = checkpoint(model, tmp_path / "run/checkpoints/last.ckpt", image_size=64)
    for given in (path, tmp_path / "run"):
        found = load(given).predict(image_folder / "p0.png")[0]
        np.testing.assert_array_equal(found.keypoints_px, model.predict(image_folder / "p0.png")[0].keypoints_px)


def test_earlier_checkpoint_reads_its_size_from_the_runs_config(model: Predictor, tmp_path: Path):
    path = checkpoint(model, tmp_path / "run/checkpoints/last.ckpt")
    with pytest.raises(UserError, match="--image-size"):
        load(path)
    (tmp_path / "run/config.yaml").write_text("data: {image_size: 96}\n")
    assert load(path).info.image_size == 96


def test_mesh_checkpoint_is_rejected_with_advice(tmp_path: Path):
    path = tmp_path / "mesh.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"method": "Dual", "regressor": {"kind": "cliff"}}}, path)
    with pytest.raises(UserError, match="saved by meshtto and recovers meshes; use python -m meshtto app or"):
        load(path)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"lr": 0.1}, "was not saved by hamipose"),
        ({"skeleton": "body16", "backbone": "resnet10t"}, "was not saved by hamipose"),
        (["lr"], "was not saved by hamipose"),
        (
            {"skeleton": "square4", "backbone": "resnet10t", "deconv_channels": [16, 16, 16]},
            r"predicts the keypoints of square4, which is none of body16, .*; import the file that adds it first",
        ),
        (
            {"skeleton": "body16", "backbone": "resnet10t", "deconv_channels": [8, 8, 8]},
            r"does not contain the weights of a resnet10t with deconvolutions \[8, 8, 8\]",
        ),
    ],
)
@pytest.mark.parametrize("size", [None, 64])
def test_foreign_checkpoint_is_rejected_in_one_line(
    model: Predictor, tmp_path: Path, hparams: object, message: str, size: int | None
):
    path = checkpoint(model, tmp_path / "foreign.ckpt", hyper_parameters=hparams, image_size=size)
    with pytest.raises(UserError, match=message) as error:
        load(path, image_size=64)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), None, "float32"),
        (np.zeros((8, 8), np.uint8), None, "shape"),
        (np.zeros((8, 8, 3), np.uint8), [(0.0, 0.0, 0.0, 5.0)], "box of image 0"),
        (np.zeros((8, 8, 3), np.uint8), [(0.0, 0.0, 5.0, 5.0)] * 2, "2 boxes for 1"),
        ("missing.jpg", None, "missing.jpg"),
    ],
)
def test_invalid_input_is_rejected(model: Predictor, images: object, boxes: object, message: str):
    with pytest.raises(UserError, match=message):
        model.predict(images, boxes)  # type: ignore[arg-type]


def test_unknown_device_is_rejected(model_folder: Path):
    for device in ("cuda:99", "gpu"):
        with pytest.raises(UserError, match=rf"device is '{device}', which cannot be used here") as error:
            load(model_folder, device=device)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("size", "message"), [(0, "image_size is 0, expected"), (50, "50 × 50 px: expected multiples of 32")]
)
def test_unsupported_image_size_is_rejected_when_loading(model_folder: Path, size: int, message: str):
    with pytest.raises(UserError, match=message):
        load(model_folder, image_size=size)

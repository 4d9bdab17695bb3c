from pathlib import Path

import numpy as np
import pytest
import torch

import hamipose
from hamipose.errors import UserError
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor


def test_model_folder_restores_the_model(model: Predictor, model_folder: Path, image_folder: Path):
    again = hamipose.load(model_folder)
    assert again.info == model.info
    np.testing.assert_array_equal(
        again.predict(image_folder / "p2.png")[0].keypoints_px, model.predict(image_folder / "p2.png")[0].keypoints_px
    )


def test_load_overrides_the_image_size(model_folder: Path):
    assert load(model_folder, image_size=96).info.image_size == 96


def checkpoint(model: Predictor, path: Path, **content: object) -> Path:
    hparams = {"method": "SourceOnly", "skeleton": "body16", "backbone": "test_resnet", "deconv_channels": [16, 16, 16]}
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
        ({"skeleton": "body16", "backbone": "test_resnet"}, "was not saved by hamipose"),
        (["lr"], "was not saved by hamipose"),
        (
            {"skeleton": "triangle3", "backbone": "test_resnet", "deconv_channels": [16, 16, 16]},
            r"predicts the keypoints of triangle3, which is none of body16, .*; import the file that adds it first",
        ),
        (
            {"skeleton": "body16", "backbone": "test_resnet", "deconv_channels": [8, 8, 8]},
            r"does not contain the weights of a test_resnet with deconvolutions \[8, 8, 8\]",
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

"""A checkpoint loaded with `hamipose.load` predicts what its method predicts in testing."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hamipose
import hamipose.methods
from hamipose.errors import UserError
from hamipose.inference.export import export_onnx
from hamipose.methods import PoseMethod
from hamipose.methods.mdam import MDAMOptions
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.models.model_io import save_model_folder
from hamipose.models.preprocess import normalize
from hamipose.types import LabeledBatch

METHODS = sorted(
    name
    for name in hamipose.methods._MODULES
    if inspect.isclass(found := getattr(hamipose.methods, name))
    and issubclass(found, PoseMethod)
    and name != "PoseMethod"
)


def trained(name: str) -> PoseMethod:
    """Return a method with distinct values in every weight of student and teacher, so that a mix-up is visible."""
    torch.manual_seed(0)
    network = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
    small = {"options": MDAMOptions(refinement_width=8, classifier_width=4)} if name == "MDAM" else {}
    model = getattr(hamipose.methods, name)(lambda p: torch.optim.SGD(p, lr=0.1), network, TrainingOptions(), **small)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
        for part, value in model.named_parameters():
            if part.endswith("final.weight"):
                value.add_(0.3 * torch.randn_like(value))
    return model.eval()


def checkpoint(model: PoseMethod, path: Path, **hparams: Any) -> Path:
    content = {"state_dict": model.state_dict(), "hyper_parameters": {**model.hparams, **hparams}, "image_size": 64}
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", METHODS)
def test_loaded_checkpoint_equals_the_evaluated_network(name: str, tmp_path: Path):
    model = trained(name)
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    points, seen = torch.zeros(3, 16, 2), torch.ones(3, 16, dtype=torch.long)
    matrix = torch.eye(2, 3).expand(3, 2, 3).clone()
    batch = LabeledBatch(images, points, seen, matrix, ["a", "b", "c"], torch.arange(3))
    with torch.no_grad():
        scored = list(model.evaluated_networks().values())[-1](normalize(images))  # the heatmaps that a test scores
        expected = model.predict_step(batch, 0)

    loaded = hamipose.load(checkpoint(model, tmp_path / "last.ckpt"), device="cpu")
    torch.testing.assert_close(loaded.heatmaps(images), scored, rtol=1e-4, atol=1e-5)
    found = loaded.predict([image.permute(1, 2, 0).numpy() for image in images])
    np.testing.assert_allclose(np.stack([f.keypoints_px for f in found]), expected.keypoints_px, atol=2e-2)
    np.testing.assert_allclose(np.stack([f.confidence for f in found]), expected.confidence, rtol=1e-3, atol=1e-5)

    folder = save_model_folder(tmp_path / "model", loaded.network, loaded.info)
    torch.testing.assert_close(hamipose.load(folder, device="cpu").heatmaps(images), scored, rtol=1e-4, atol=1e-5)


def test_converted_maps_differ_from_plain_maps(tmp_path: Path):
    """Otherwise the test above would pass for a loader that ignores the conversion."""
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for name, parts in (("RegDA", 1), ("MDAM", 2)):
        loaded = hamipose.load(checkpoint(trained(name), tmp_path / "last.ckpt"), device="cpu")
        plain = dict(loaded.network.named_children())
        assert len(plain) == parts
        with torch.no_grad():
            coarse = plain["network"](normalize(images))
        assert (coarse - loaded.heatmaps(images)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["RegDA", "MDAM"])
def test_earlier_checkpoints_have_default_maps(name: str, tmp_path: Path):
    model = trained(name)
    new = checkpoint(model, tmp_path / "new.ckpt")
    content = torch.load(new, weights_only=True)
    del content["hyper_parameters"]["maps"]
    torch.save(content, tmp_path / "old.ckpt")
    assert hamipose.load(tmp_path / "old.ckpt", device="cpu").info == hamipose.load(new, device="cpu").info


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RegDA", "MDAM"])
def test_exported_file_includes_the_conversion(name: str, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    loaded = hamipose.load(checkpoint(trained(name), tmp_path / "last.ckpt"), device="cpu")
    assert export_onnx(loaded, tmp_path / "pose.onnx") < 1e-3  # compared with the model, which includes the conversion


def test_unknown_maps_in_a_folder_are_rejected(tmp_path: Path):
    loaded = hamipose.load(checkpoint(trained("RegDA"), tmp_path / "last.ckpt"), device="cpu")
    folder = save_model_folder(tmp_path / "model", loaded.network, loaded.info)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("log-densities", "vectors"))
    with pytest.raises(UserError, match="maps is 'vectors'"):
        hamipose.load(folder)

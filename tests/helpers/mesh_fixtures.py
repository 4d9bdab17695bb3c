"""Fixtures: checkpoints of an untrained mesh method and pose model, images, a video, and a caller of wrong commands."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from hamipose.inference.predictor import Predictor
from hamipose.io.video import VideoWriter
from hamipose.models.model_io import ModelInfo
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions, TestTimeOptions
from meshtto.test_time import SGD, Phase


def save_mesh_checkpoint(path: Path) -> Path:
    torch.manual_seed(0)
    method = Regression(
        torch.optim.Adam,
        RegressorOptions(backbone="test_resnet", width=16),
        test_time=TestTimeOptions([Phase(2, SGD(1e-3), pseudo_mesh=False)]),
    )
    method.hparams["crop"] = [32, 32]
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    return path


def save_pose_checkpoint(path: Path, skeleton: str = "body16") -> Path:
    """Save a pose model whose confidences on noise are between 0 and 1, as those of a trained model."""
    torch.manual_seed(0)
    info = ModelInfo(skeleton, "test_resnet", (16, 16, 16), 64, "SourceOnly")
    network = info.network()
    with torch.no_grad():
        network.final.weight.normal_()
        found = Predictor(network, info, "cpu").predict(list(noise(4)))
        network.final.weight /= float(np.max([person.confidence for person in found]))
    hparams = {"method": "SourceOnly", "skeleton": skeleton, "backbone": "test_resnet", "deconv_channels": [16, 16, 16]}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": hparams, "image_size": 64}, path)
    return path


def noise(count: int) -> np.ndarray:
    """Return different images of coarse noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (96, 80), interpolation=cv2.INTER_CUBIC) for image in coarse])


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mesh_checkpoint(tmp_path_factory.mktemp("mesh") / "tiny.ckpt")


@pytest.fixture(scope="session")
def pose_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pose_checkpoint(tmp_path_factory.mktemp("pose") / "pose.ckpt")


@pytest.fixture(scope="session")
def hand_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pose_checkpoint(tmp_path_factory.mktemp("pose") / "hand.ckpt", "hand21")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a video of five frames, ten per second."""
    with VideoWriter(tmp_path_factory.mktemp("video") / "clip.mp4", 10.0) as video:
        for image in noise(5):
            video.add(image)
    return video.path


@pytest.fixture
def get_error(capsys: pytest.CaptureFixture) -> Any:
    """Return a function that runs a wrong command and returns its error message."""
    from meshtto.cli import main

    def tell(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("error: ")
        assert "Traceback" not in "".join(lines)
        return lines[-1]

    return tell

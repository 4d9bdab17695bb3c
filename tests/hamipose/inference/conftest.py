"""A small model that nobody trained, and pictures to show it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hamipose.inference.predictor import Predictor
from hamipose.models.folder import ModelInfo, save_folder


@pytest.fixture(scope="session")
def model() -> Predictor:
    torch.manual_seed(0)
    info = ModelInfo("body16", "resnet10t", (16, 16, 16), 64, "SourceOnly")
    network = info.network()
    torch.nn.init.normal_(network.final.weight, std=0.3)  # so that peaks differ
    return Predictor(network, info, "cpu")


@pytest.fixture
def model_folder(model: Predictor, tmp_path: Path) -> Path:
    return save_folder(tmp_path / "model", model.network, model.info)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of different sizes, without loss."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(80, 60), (64, 96), (70, 70)]):
        coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"p{number}.png"), cv2.resize(coarse, (width, height)))
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Seven frames, each of one gray."""
    path = tmp_path / "clip.mp4"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for grey in range(0, 210, 30):
        video.write(np.full((48, 64, 3), grey, np.uint8))
    video.release()
    return path

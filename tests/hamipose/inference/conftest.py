"""A small untrained model and images."""

from pathlib import Path

import pytest
import torch

from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo, save_model_folder
from tests.helpers.footage import clip, image_folder  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def model() -> Predictor:
    torch.manual_seed(0)
    info = ModelInfo("body16", "test_resnet", (16, 16, 16), 64, "SourceOnly")
    network = info.network()
    torch.nn.init.normal_(network.final.weight, std=0.3)  # so that peaks differ
    return Predictor(network, info, "cpu")


@pytest.fixture
def model_folder(model: Predictor, tmp_path: Path) -> Path:
    return save_model_folder(tmp_path / "model", model.network, model.info)

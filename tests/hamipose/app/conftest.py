"""A small model with high confidences, images, and a served page."""

from collections.abc import Iterator

import pytest
import torch

from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo
from tests.helpers.footage import clip, image_folder  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def model() -> Predictor:
    """Return a model with confidences like a trained one's, so that tables do not only contain zeros."""
    torch.manual_seed(0)
    info = ModelInfo("body16", "test_resnet", (16, 16, 16), 64, "SourceOnly")
    network = info.network()
    with torch.no_grad():
        network.final.weight.normal_(std=1e6)
    return Predictor(network, info, "cpu")


@pytest.fixture(scope="module")
def address(model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page with two models in this process; return its address."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    import socket

    from hamipose.app.page import build_page
    from hamipose.viz.serving import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build_page({"one": model, "other": model}, tmp_path_factory.mktemp("clips"))
    yield serve(page, port, wait=False)
    page.close(verbose=False)

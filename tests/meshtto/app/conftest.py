"""The tiny models of the predict tests, and a served page."""

import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from hamipose.viz.serving import serve
from meshtto.app.response import Responder
from meshtto.predict.model import adaptation_phases, open_method
from meshtto.predict.pose_evidence import PoseModel
from tests.helpers.mesh_fixtures import checkpoint, clip, get_error, noise, pose_checkpoint  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a photo of 96 × 80 pixels."""
    path = tmp_path_factory.mktemp("photo") / "somebody.png"
    cv2.imwrite(str(path), noise(1)[0])
    return path


@pytest.fixture(scope="module")
def responder(
    checkpoint: Path,  # noqa: F811
    pose_checkpoint: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Responder:
    """Return a responder with three adaptation steps towards the pose model's keypoints."""
    method = open_method(str(checkpoint), device="cpu")
    pose = PoseModel(pose_checkpoint, "cpu")
    return Responder(method, tmp_path_factory.mktemp("steps"), pose, adaptation_phases(method, 3))


@pytest.fixture(scope="module")
def address(responder: Responder) -> Iterator[str]:
    """Serve the page in this process; return its address."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    from meshtto.app.page import build_page

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build_page("tiny.ckpt", responder)
    yield serve(page, port, wait=False)
    page.close(verbose=False)

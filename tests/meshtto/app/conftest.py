"""The tiny models of the predict tests, and a served page."""

import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from hamipose.viz.serving import serve
from meshtto.app.response import Responder
from meshtto.predict.model import open_method, phases_of
from meshtto.predict.pose_evidence import PoseModel
from tests.helpers.mesh_models import checkpoint, clip, noise, pose_checkpoint, told  # noqa: F401  fixtures


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 × 80 pixels."""
    path = tmp_path_factory.mktemp("photo") / "somebody.png"
    cv2.imwrite(str(path), noise(1)[0])
    return path


@pytest.fixture(scope="module")
def responder(checkpoint: Path, pose_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Responder:
    """With three steps of adaptation to what the pose model finds."""
    method = open_method(str(checkpoint), device="cpu")
    pose = PoseModel(pose_checkpoint, "cpu")
    return Responder(method, tmp_path_factory.mktemp("steps"), pose, phases_of(method, 3))


@pytest.fixture(scope="module")
def address(responder: Responder) -> Iterator[str]:
    """Of the page, served by this process."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    from meshtto.app.page import build

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build("tiny.ckpt", responder)
    yield serve(page, port, wait=False)
    page.close(verbose=False)

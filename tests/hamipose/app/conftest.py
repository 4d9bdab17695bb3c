"""The small model and the pictures of the inference tests, and a served page."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "small_model", Path(__file__).parent.parent / "inference" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_small)
model, model_folder, pictures, clip = _small.model, _small.model_folder, _small.pictures, _small.clip


@pytest.fixture(scope="module")
def address(model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the page with two models, served by this process."""
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    import socket

    from hamipose.app.page import build, serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build({"one": model, "other": model}, tmp_path_factory.mktemp("clips"))
    yield serve(page, port, wait=False)
    page.close(verbose=False)

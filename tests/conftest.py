"""Shapes in signatures are run: the packages are imported through jaxtyping's hook, with beartype as checker."""

from jaxtyping import install_import_hook

install_import_hook(["hamipose", "meshtto"], "beartype.beartype")

import os  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import IO  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

from tests.helpers import browser  # noqa: E402
from tests.helpers.browser import visit  # noqa: E402, F401  a fixture of both packages' pages

_print_png = FigureCanvasAgg.print_png
# Defaults depend on what was fetched: tests see nothing of the machine's cache.
os.environ["HAMIPOSE_CACHE"] = str(Path(tempfile.gettempdir()) / "hamipose-tests-have-no-cache")

# The same examples in every run: a suite that is green once is green again.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """See ``browser.fail_if_skipped``."""
    report = yield
    browser.fail_if_skipped(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item):
    """Draw figures in tests that are marked ``figures`` alone: a figure takes a second, and most runs write several."""
    FigureCanvasAgg.print_png = _print_png if item.get_closest_marker("figures") else _print_blank


def _print_blank(self: FigureCanvasAgg, file: IO[bytes]) -> None:
    file.write(cv2.imencode(".png", np.full((8, 8, 3), 255, np.uint8))[1].tobytes())


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  what libraries draw from

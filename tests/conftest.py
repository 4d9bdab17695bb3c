"""Fixtures of all tests; both packages are imported with checks of the types and shapes in signatures."""

from tests.helpers.type_checks import check_types

check_types("hamipose", "meshtto")

import os  # noqa: E402
import tempfile  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import IO, Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.helpers import browser  # noqa: E402
from tests.helpers.browser import visit  # noqa: E402, F401  a fixture of both packages' pages

# Defaults depend on downloaded networks, so tests do not use the cache of the machine.
os.environ["HAMIPOSE_CACHE"] = str(Path(tempfile.gettempdir()) / "hamipose-tests-have-no-cache")

# Hypothesis uses the same examples in every run, so that results are reproducible.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems() -> None:
    """Prepare the process for tests, if it runs them: xdist's main process does not, and starts 8 s sooner without."""
    import torch.utils.data._utils as loading

    from tests.helpers.shared_parser import share_parsers

    share_parsers()
    # torch waits so long for the workers of a loader that is deleted after an error.
    loading.MP_STATUS_CHECK_INTERVAL = 0.5


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Apply :func:`tests.helpers.browser.fail_if_skipped`."""
    report = yield
    browser.fail_if_skipped(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item):
    """Draw figures only in tests marked ``figures``: a figure takes a second, and most runs write several."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = _print_png()
    FigureCanvasAgg.print_png = drawn if item.get_closest_marker("figures") else _print_blank


@cache
def _print_png() -> Any:
    """Return matplotlib's function, which the first call finds unchanged."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg.print_png


def _print_blank(self: Any, file: IO[bytes]) -> None:
    import cv2
    import numpy as np

    file.write(cv2.imencode(".png", np.full((8, 8, 3), 255, np.uint8))[1].tobytes())


@pytest.fixture(autouse=True)
def _seeded():
    """Seed the random generators before every test."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  used by libraries


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the data sets `light` (24 labeled images) and `dark` (16 images in another style)."""
    from tests.helpers.dot_images import write_dots

    root = tmp_path_factory.mktemp("dots")
    write_dots(root / "light", 24, seed=1)
    write_dots(root / "dark", 16, seed=2, dark=True)
    return root

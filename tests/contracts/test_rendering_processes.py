"""Rendering in several processes gives the files of one process.

All kinds of images are tested in one file, because the worker processes need seconds to import the packages and are
reused.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from hamipose.data.datasets.synthetic.hands import synthesize_hands
from hamipose.data.datasets.synthetic.people import synthesize_people
from meshtto.data.datasets.render_cache import render_images

pytestmark = pytest.mark.slow

SIZE = 48


def make_people(folder: Path, count: int, workers: int) -> None:
    synthesize_people("plain", count, SIZE, 0, str(folder), workers=workers, device="cpu", progress=False)


def make_hands(folder: Path, count: int, workers: int) -> None:
    synthesize_hands("plain", count, SIZE, 0, str(folder), workers=workers, device="cpu", progress=False)


def make_meshes(folder: Path, count: int, workers: int) -> None:
    render_images(folder, "plain", count, SIZE, 0, workers=workers, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("make", [make_people, make_hands, make_meshes])
def test_several_processes_give_the_same_files(make: Callable[[Path, int, int], None], tmp_path: Path):
    make(tmp_path / "one", 6, 1)
    make(tmp_path / "several", 2, 1)  # the workers continue with the third image
    make(tmp_path / "several", 6, 2)
    found = contents(tmp_path / "several")
    assert sum(name.endswith(".jpg") for name in found) == 6
    assert found == contents(tmp_path / "one")

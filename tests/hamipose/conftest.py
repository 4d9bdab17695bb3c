"""Small worlds made of colored dots: every joint is a dot of its own color, so that a tiny network can find it."""

import colorsys
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from hamipose.skeletons import BODY16
from tests.helpers import pose_run
from tests.helpers.tiny_runs import elsewhere, told

SCRIPT = Path(pose_run.__file__)


def write_dots(root: Path, count: int, size: int = 48, seed: int = 0, dark: bool = False) -> Path:
    """A data set in COCO keypoint format; `dark` changes the look."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        picture = np.full((size, size, 3), 20 if dark else 230, np.uint8)
        picture += rng.integers(0, 20, picture.shape, dtype=np.uint8)
        points = rng.uniform(0.1 * size, 0.9 * size, (len(BODY16), 2))
        for k, (x, y) in enumerate(points):
            color = [int(255 * c) for c in colorsys.hsv_to_rgb(k / len(BODY16), 1, 0.6 if dark else 1)]
            cv2.circle(picture, (round(16 * x), round(16 * y)), 16 * size // 16, color, -1, cv2.LINE_AA, shift=4)
        cv2.imwrite(str(root / "images" / f"{i:04d}.png"), picture[..., ::-1])
        images.append({"id": i, "file_name": f"{i:04d}.png", "width": size, "height": size})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [0, 0, size, size],
                "keypoints": np.column_stack([points, np.full(len(points), 2)]).round(3).ravel().tolist(),
            }
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(BODY16.keypoints)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sets `light` (24 labeled images) and `dark` (16 images of another look)."""
    root = tmp_path_factory.mktemp("dots")
    write_dots(root / "light", 24, seed=1)
    write_dots(root / "dark", 16, seed=2, dark=True)
    return root


@pytest.fixture(scope="session")
def fit() -> Callable[..., Any]:
    """Runs in this process; returns the trainer."""

    def call(**options: Any) -> Any:
        threads = torch.get_num_threads()
        try:
            return pose_run.run(told(options))
        finally:
            torch.set_num_threads(threads)

    return call


@pytest.fixture(scope="session")
def fit_elsewhere() -> Callable[..., subprocess.CompletedProcess]:
    """Runs in a process of its own."""

    def call(**options: Any) -> subprocess.CompletedProcess:
        return elsewhere(SCRIPT, told(options))

    return call


@pytest.fixture(scope="session")
def fit_in_two() -> Callable[..., subprocess.CompletedProcess]:
    """Several runs, one after the other, in two processes that see half the batch each."""

    def call(runs: list[dict[str, Any]]) -> subprocess.CompletedProcess:
        return elsewhere(SCRIPT, [told(options) for options in runs], processes=2)

    return call

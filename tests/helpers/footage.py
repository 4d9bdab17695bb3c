"""Fixtures: a folder of small images and a video."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Write three PNG images of different sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(80, 60), (64, 96), (70, 70)]):
        coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"p{number}.png"), cv2.resize(coarse, (width, height)))
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Write a video of seven frames with one gray value each."""
    path = tmp_path / "clip.mp4"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for gray in range(0, 210, 30):
        video.write(np.full((48, 64, 3), gray, np.uint8))
    video.release()
    return path

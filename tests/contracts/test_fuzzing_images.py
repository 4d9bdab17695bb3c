"""Damaged images, alone and in a folder, give one-line errors or are skipped."""

import functools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hamipose.cli import main as hamipose
from hamipose.inference import loading
from tests.helpers.checkpoints import save_pose_folder
from tests.helpers.fuzzing import Failures, damage_bytes, seeded_generators

COUNT = 500


def write_images(folder: Path) -> list[Path]:
    """Write one small image in every supported format, and some variants of cameras and other programs."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 255, (6, 5, 3), np.uint8), (40, 48), interpolation=cv2.INTER_CUBIC)
    image = Image.fromarray(coarse)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated
    image.save(folder / "camera.jpg", exif=exif)
    image.save(folder / "progressive.jpeg", progressive=True)
    image.convert("CMYK").save(folder / "print.jpg")
    image.save(folder / "plain.png")
    image.convert("P").save(folder / "palette.png")
    image.convert("RGBA").save(folder / "alpha.png")
    image.convert("1").save(folder / "bits.png")
    cv2.imwrite(str(folder / "deep.png"), coarse.astype(np.uint16) * 200)
    image.save(folder / "plain.bmp")
    image.save(folder / "plain.webp")
    image.save(folder / "plain.tif")
    image.save(folder / "packed.tiff", compression="tiff_lzw")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_images(tmp_path_factory.mktemp("valid"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pose_folder(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
def test_damaged_images_give_one_line_errors(
    images: list[Path], model: Path, capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "load", functools.lru_cache(loading.load))
    failures = Failures(capfd)
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    options = ["--checkpoint", model, "--out", out, "--device", "cpu"]
    for number, rng in seeded_generators("images", COUNT):
        path = rng.choice(images)
        suffix = rng.choice(images).suffix if rng.random() < 0.1 else path.suffix
        wrong = folder / f"{number:03d}{suffix}"
        wrong.write_bytes(damage_bytes(rng, path.read_bytes()))
        status = failures.run(hamipose, ["predict", wrong, *options], f"{number} ({path.name})")
        failures.check_files(out, number)
        if status == 0 and len(list((out / "overlays").iterdir())) != 1:
            failures.add("status 0 without an overlay", number)
        shutil.rmtree(out, ignore_errors=True)
    failures.run(hamipose, ["predict", folder, *options], "the folder of all files")
    failures.check_files(out, "the folder of all files")
    failures.check(minimum=50)

"""Pictures that went wrong: alone and as a folder."""

import functools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hamipose.cli import main as hamipose
from hamipose.inference import predictor
from tests.helpers.checkpoints import save_pose_folder
from tests.helpers.fuzzing import Failures, damage_bytes, seeded_generators

COUNT = 500


def sound(folder: Path) -> list[Path]:
    """One small picture of every kind that is read, and some that cameras and other programs write."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 255, (6, 5, 3), np.uint8), (40, 48), interpolation=cv2.INTER_CUBIC)
    picture = Image.fromarray(coarse)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    picture.save(folder / "camera.jpg", exif=exif)
    picture.save(folder / "progressive.jpeg", progressive=True)
    picture.convert("CMYK").save(folder / "print.jpg")
    picture.save(folder / "plain.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.convert("1").save(folder / "bits.png")
    cv2.imwrite(str(folder / "deep.png"), coarse.astype(np.uint16) * 200)
    picture.save(folder / "plain.bmp")
    picture.save(folder / "plain.webp")
    picture.save(folder / "plain.tif")
    picture.save(folder / "packed.tiff", compression="tiff_lzw")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pose_folder(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
def test_pictures(
    pictures: list[Path], model: Path, capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(predictor, "load", functools.lru_cache(predictor.load))  # it is not what is wrong here
    faults = Failures(capfd)
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    options = ["--checkpoint", model, "--out", out, "--device", "cpu"]
    for number, rng in seeded_generators("pictures", COUNT):
        path = rng.choice(pictures)
        suffix = rng.choice(pictures).suffix if rng.random() < 0.1 else path.suffix
        wrong = folder / f"{number:03d}{suffix}"
        wrong.write_bytes(damage_bytes(rng, path.read_bytes()))
        status = faults.carry_out(hamipose, ["predict", wrong, *options], f"{number} ({path.name})")
        faults.check_whole(out, number)
        if status == 0 and len(list((out / "overlays").iterdir())) != 1:
            faults.add("status 0 without an overlay", number)
        shutil.rmtree(out, ignore_errors=True)
    faults.carry_out(hamipose, ["predict", folder, *options], "the folder of all")
    faults.check_whole(out, "the folder of all")
    faults.check(least=50)

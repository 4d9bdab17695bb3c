from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hamipose.adapt.configs import built_in_people
from hamipose.adapt.estimate import count_missing_images, count_remaining_steps, estimate_minutes
from hamipose.adapt.hardware import Machine, default_settings, detect_machine

LAPTOP = Machine(None, 0.0, 2, 16.0)


def test_detect_machine_finds_cores_and_memory():
    machine = detect_machine()
    assert machine.cores >= 1
    assert machine.memory_gib > 0.5
    assert str(machine.cores) in str(machine)


@pytest.mark.parametrize(
    "machine", [LAPTOP, Machine(None, 0.0, 32, 64.0), Machine("A", 8.0, 8, 32.0), Machine("B", 80.0, 32, 256.0)]
)
def test_default_settings_suit_every_machine(machine: Machine):
    settings = default_settings(machine)
    assert settings.image_size % 32 == 0
    assert settings.workers < max(2, machine.cores)
    assert (settings.precision == "bf16-mixed") == (machine.gpu is not None)


def test_default_image_size_grows_with_the_machine():
    sizes = [
        default_settings(m).image_size for m in (LAPTOP, Machine(None, 0.0, 16, 64.0), Machine("B", 80.0, 32, 256.0))
    ]
    assert sizes == sorted(set(sizes))


def test_estimate_grows_with_the_remaining_work():
    settings = replace(default_settings(LAPTOP), image_size=64, batch_size=2, deconv_channels=(8, 8, 8))
    short = estimate_minutes(settings, LAPTOP, start_steps=0, adapt_steps=10, images=0)
    assert short > 0
    assert estimate_minutes(settings, LAPTOP, start_steps=0, adapt_steps=10_000, images=0) > 50 * short
    assert estimate_minutes(settings, LAPTOP, start_steps=10_000, adapt_steps=10, images=0) > 20 * short
    assert estimate_minutes(settings, LAPTOP, start_steps=0, adapt_steps=0, images=0) == 0
    rendering = estimate_minutes(settings, LAPTOP, start_steps=0, adapt_steps=0, images=1000)
    assert rendering == 2 * estimate_minutes(settings, LAPTOP, start_steps=0, adapt_steps=0, images=500) > 0


def test_missing_images_exclude_those_in_the_cache(tmp_path):
    settings = replace(default_settings(LAPTOP), people=4)
    assert count_missing_images(settings, tmp_path) == 4 + 100
    people, _ = built_in_people(settings, tmp_path)
    made = Path(people["init_args"]["root"]) / "images"
    made.mkdir(parents=True)
    for number in range(3):
        (made / f"{number:06d}.jpg").touch()
    assert count_missing_images(settings, tmp_path) == 1 + 100
    made.joinpath("000003.jpg").touch()
    made.joinpath("000004.jpg").touch()  # more than requested
    assert count_missing_images(settings, tmp_path) == 100


def test_remaining_steps_exclude_those_of_the_checkpoint(tmp_path):
    assert count_remaining_steps(tmp_path, 50) == 50
    (tmp_path / "checkpoints").mkdir()
    torch.save({"global_step": 20}, tmp_path / "checkpoints/last.ckpt")
    assert count_remaining_steps(tmp_path, 50) == 30
    (tmp_path / "scores.json").write_text("{}")
    assert count_remaining_steps(tmp_path, 50) == 0

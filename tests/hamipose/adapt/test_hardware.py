from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hamipose.adapt.configs import built_in_people
from hamipose.adapt.hardware import Machine, default_plan, estimate_minutes, this_machine
from hamipose.adapt.progress import pictures_to_make, steps_left

LAPTOP = Machine(None, 0.0, 2, 16.0)


def test_this_machine_has_cores_and_memory():
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gib > 0.5
    assert str(machine.cores) in str(machine)


@pytest.mark.parametrize(
    "machine", [LAPTOP, Machine(None, 0.0, 32, 64.0), Machine("A", 8.0, 8, 32.0), Machine("B", 80.0, 32, 256.0)]
)
def test_every_machine_gets_a_plan_that_fits_its_network(machine: Machine):
    plan = default_plan(machine)
    assert plan.image_size % 32 == 0
    assert plan.workers < max(2, machine.cores)
    assert (plan.precision == "bf16-mixed") == (machine.gpu is not None)


def test_more_machine_means_more_pixels():
    sizes = [default_plan(m).image_size for m in (LAPTOP, Machine(None, 0.0, 16, 64.0), Machine("B", 80.0, 32, 256.0))]
    assert sizes == sorted(set(sizes))


def test_the_estimate_grows_with_what_is_left():
    plan = replace(default_plan(LAPTOP), image_size=64, batch_size=2, deconv_channels=(8, 8, 8))
    short = estimate_minutes(plan, LAPTOP, start_steps=0, adapt_steps=10, pictures=0)
    assert short > 0
    assert estimate_minutes(plan, LAPTOP, start_steps=0, adapt_steps=10_000, pictures=0) > 50 * short
    assert estimate_minutes(plan, LAPTOP, start_steps=10_000, adapt_steps=10, pictures=0) > 20 * short
    assert estimate_minutes(plan, LAPTOP, start_steps=0, adapt_steps=0, pictures=0) == 0
    rendering = estimate_minutes(plan, LAPTOP, start_steps=0, adapt_steps=0, pictures=1000)
    assert rendering == 2 * estimate_minutes(plan, LAPTOP, start_steps=0, adapt_steps=0, pictures=500) > 0


def test_pictures_that_are_there_are_not_made(tmp_path):
    plan = replace(default_plan(LAPTOP), people=4)
    assert pictures_to_make(plan, tmp_path) == 4 + 100
    people, _ = built_in_people(plan, tmp_path)
    made = Path(people["init_args"]["root"]) / "images"
    made.mkdir(parents=True)
    for number in range(3):
        (made / f"{number:06d}.jpg").touch()
    assert pictures_to_make(plan, tmp_path) == 1 + 100
    made.joinpath("000003.jpg").touch()
    made.joinpath("000004.jpg").touch()  # more than asked for
    assert pictures_to_make(plan, tmp_path) == 100


def test_steps_that_were_made_are_not_made_again(tmp_path):
    assert steps_left(tmp_path, 50) == 50
    (tmp_path / "checkpoints").mkdir()
    torch.save({"global_step": 20}, tmp_path / "checkpoints/last.ckpt")
    assert steps_left(tmp_path, 50) == 30
    (tmp_path / "scores.json").write_text("{}")
    assert steps_left(tmp_path, 50) == 0

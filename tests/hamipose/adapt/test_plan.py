from dataclasses import replace

import pytest

from hamipose.adapt.plan import Machine, default_plan, estimate_minutes, this_machine

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


def test_the_estimate_grows_with_the_steps():
    plan = replace(default_plan(LAPTOP), image_size=64, batch_size=2, deconv_channels=(8, 8, 8), people=10)
    short = estimate_minutes(replace(plan, start_steps=10, adapt_steps=10), LAPTOP, start=False)
    long = estimate_minutes(replace(plan, start_steps=10, adapt_steps=10_000), LAPTOP, start=False)
    assert 0 < short < long / 50
    with_start = estimate_minutes(replace(plan, start_steps=10_000, adapt_steps=10), LAPTOP, start=True)
    assert with_start > 20 * short

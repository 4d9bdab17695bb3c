"""Fast reading of anny's blend shapes."""

from pathlib import Path
from types import SimpleNamespace

import anny
import pytest
import torch
from anny.models import full_model

from hamipose.synthetic.people.anny_model import _read_blend_shape

TARGETS = Path(anny.__file__).parent / "data/mpfb2/targets"


@pytest.mark.parametrize(
    "name",
    [
        "buttocks/buttocks-volume-incr",
        "macrodetails/universal-female-young-maxmuscle-minweight",
        "macrodetails/universal-male-baby-averagemuscle-averageweight",  # empty
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blend_shape_equals_that_of_anny(name, dtype):
    path = str(TARGETS / f"{name}.target.gz")
    halved = SimpleNamespace(apply=lambda offsets: offsets / 2)
    ours = _read_blend_shape(path, vertices_count=19158, world_transformation=halved, dtype=dtype)
    theirs = full_model.load_blend_shape(path, vertices_count=19158, world_transformation=halved, dtype=dtype)
    assert full_model.load_blend_shape is not _read_blend_shape
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    assert bool(ours.any()) == ("baby-averagemuscle" not in name)

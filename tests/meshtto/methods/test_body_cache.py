"""Labels are posed with the body of their gender, for which they are consistent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from meshtto.body import load_body
from meshtto.body.arrays import write_arrays
from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions
from meshtto.types import GENDERS
from tests.helpers.bodies import make_arrays, make_inputs


@pytest.fixture
def body(tmp_path: Path) -> str:
    """Cache with three bodies of different shape."""
    for gender in GENDERS:
        template = make_arrays().template_m * (1 + 0.1 * GENDERS.index(gender))
        write_arrays(
            replace(make_arrays(), gender=gender, template_m=template), tmp_path / f"small_{gender}.safetensors"
        )
    return str(tmp_path / "small_neutral.safetensors")


def test_label_vertices_use_the_body_of_each_gender(tiny, body: str):
    """Check training and evaluation: joints of data sets belong to that body, so L_V and L_J3D are consistent."""
    crops = MeshCrops(tiny.DotMeshes(4, 5), (32, 32))
    batch = collate([crops[i] for i in range(4)])
    batch.gender = torch.tensor([2, 0, 1, 2])
    batch.rotations, batch.shape, _ = make_inputs(4)
    bodies = [load_body(body, GENDERS[g]) for g in batch.gender]
    posed = [b(batch.rotations[i : i + 1], batch.shape[i : i + 1]) for i, b in enumerate(bodies)]
    method = Regression(torch.optim.Adam, RegressorOptions(backbone="test_resnet", width=16, body=body))
    mesh = method.label_target(batch).mesh
    assert mesh is not None
    torch.testing.assert_close(mesh.vertices_m, torch.cat([p.vertices_m for p in posed]))
    assert np.ptp([float(p.vertices_m.square().mean()) for p in posed]) > 0.1


def test_builtin_body_is_shared_by_genders():
    bodies = Regression(torch.optim.Adam, RegressorOptions(backbone="test_resnet", width=16)).bodies
    assert bodies.get("female", torch.device("cpu")) is bodies.get("neutral", torch.device("cpu"))

"""A body driven by another body's coefficients: same bones, and its own parameters reproduce it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from meshtto.body import Body, body_source, load_body, match_shapes, with_shapes_of
from meshtto.body.arrays import BodyArrays, write_arrays
from meshtto.joints import PARENTS24
from meshtto.methods import Regression
from meshtto.methods.checkpoint import load
from meshtto.methods.options import RegressorOptions


@pytest.fixture(scope="module")
def source() -> BodyArrays:
    return body_source("builtin").arrays("neutral")


@pytest.fixture(scope="module")
def target(source: BodyArrays) -> BodyArrays:
    """Return the built-in body moved, 5 % larger, with other shape directions and pose corrections, as a SMPL file."""
    rng = np.random.default_rng(0)
    mixed = np.linalg.qr(rng.standard_normal((10, 10)))[0] * rng.uniform(0.5, 2.0, 10)
    return replace(
        source,
        name="smpl",
        template_m=1.05 * source.template_m + [0.0, -0.22, 0.03],
        shape_dirs=source.shape_dirs @ mixed,
        pose_dirs=1e-3 * rng.standard_normal((len(source.template_m), 3, 207)),
    )


def rest_bones(body: Body, shape: torch.Tensor) -> torch.Tensor:
    skeleton = body(torch.eye(3).expand(len(shape), 24, 3, 3), shape).skeleton_m
    return skeleton[:, 1:] - skeleton[:, list(PARENTS24[1:])]


def test_bones_are_those_of_the_source(source: BodyArrays, target: BodyArrays):
    shape = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    ours, theirs = Body(source), Body(with_shapes_of(target, match_shapes(source, target)))
    difference = (rest_bones(ours, shape) - rest_bones(theirs, shape)).norm(dim=-1)
    untouched = (rest_bones(ours, shape) - rest_bones(Body(target), shape)).norm(dim=-1)
    assert difference.mean() < 0.002
    assert difference.mean() < 0.2 * untouched.mean()
    pelvis = [body(torch.eye(3).expand(6, 24, 3, 3), shape).skeleton_m[:, 0] for body in (ours, theirs)]
    torch.testing.assert_close(*pelvis, atol=1e-5, rtol=0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    method = Regression(torch.optim.Adam, RegressorOptions(backbone="test_resnet", width=16))
    method.hparams["crop"] = [32, 32]
    path = tmp_path / "mesh.ckpt"
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    return path


def test_a_network_of_the_built_in_body_recovers_a_smpl_file(checkpoint: Path, target: BodyArrays, tmp_path: Path):
    """Check that coefficients and translation in the results are those of the file itself."""
    file = tmp_path / "smpl_neutral.safetensors"
    write_arrays(target, file)
    method = load(checkpoint, str(file))
    assert method.options.body == str(file)
    rotations = roma.random_rotmat((3, 24))
    predicted, translation_m = torch.randn(3, 10), torch.randn(3, 3)
    shape, own_translation_m = method.bodies.own_parameters(predicted, translation_m)
    driven = method.body(rotations, predicted, translation_m).vertices_m
    plain = load_body(str(file))(rotations, shape, own_translation_m).vertices_m
    torch.testing.assert_close(plain, driven, atol=2e-4, rtol=0)
    unchanged = load(checkpoint).bodies.own_parameters(predicted, translation_m)
    assert torch.equal(unchanged[0], predicted)
    assert torch.equal(unchanged[1], translation_m)

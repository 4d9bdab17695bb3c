"""Block skinning: results, derivatives and vertex order equal those of dense skinning."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from meshtto.body import Body, load_body
from meshtto.body import block_skinning as module
from meshtto.body.block_skinning import BlockSkinning, split_blocks
from meshtto.joints import CANDIDATES
from tests.helpers.bodies import compute_with_smplx, make_arrays, make_inputs

VERTICES, MANY = 200, 9


def sparse_weights() -> np.ndarray:
    """Return weights of one to three joints per vertex, the same for 37 consecutive vertices."""
    rng = np.random.default_rng(1)
    weights = np.zeros((VERTICES, 24))
    for begin in range(0, VERTICES, 37):
        joints = rng.permutation(24)[: 1 + begin % 3]
        weights[begin : begin + 37, joints] = rng.random((len(weights[begin : begin + 37]), len(joints))) + 0.1
    return weights / weights.sum(1, keepdims=True)


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Body:
    """Return a body with several blocks."""
    monkeypatch.setattr(module, "_PRODUCT", 20)
    made = Body(replace(make_arrays(VERTICES, features=0), weights=sparse_weights()))
    assert made.block_skinning is not None
    assert len(made.block_skinning.parts) > 3
    return made


def densely(body: Body, *inputs: torch.Tensor) -> torch.Tensor:
    sparse, body.block_skinning = body.block_skinning, None
    try:
        return body(*inputs).vertices_m
    finally:
        body.block_skinning = sparse


def test_split_blocks_cover_all_vertices_and_joints():
    weights = torch.tensor(sparse_weights()).T
    parts = split_blocks(weights)
    assert [part.begin for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == VERTICES
    for begin, end, joints in parts:
        assert joints == weights[:, begin:end].any(1).nonzero()[:, 0].tolist()


def test_split_blocks_are_optimal(monkeypatch: pytest.MonkeyPatch):
    """Compare with all possible splits, for several costs of a product."""
    weights = torch.tensor(sparse_weights()).T
    places = [*range(0, VERTICES, 16), VERTICES]
    work = {(a, b): (b - a) * int(weights[:, a:b].any(1).sum()) for a, b in combinations(places, 2)}
    inner = places[1:-1]
    ways = [[0, *some, VERTICES] for count in range(len(inner) + 1) for some in combinations(inner, count)]
    for price in (1, 60, 300, 10**6):
        monkeypatch.setattr(module, "_PRODUCT", price)
        actual, *others = (
            sum(price + work[pair] for pair in pairwise(way))
            for way in ([0, *(part.end for part in split_blocks(weights))], *ways)
        )
        assert actual == min(others)


def test_block_skinning_equals_smplx(body: Body):
    arrays = replace(make_arrays(VERTICES, features=0), weights=sparse_weights())
    inputs = make_inputs(MANY)
    vertices, joints = compute_with_smplx(arrays, *inputs)
    actual = body(*inputs)
    torch.testing.assert_close(actual.vertices_m, vertices, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(actual.joints_m, joints[:, list(CANDIDATES)], atol=1e-5, rtol=1e-5)


def test_block_skinning_equals_dense_to_second_derivative(body: Body):
    """Matrices cached in single precision must not be used in double precision."""
    single = [x.requires_grad_() for x in make_inputs(MANY)]
    torch.testing.assert_close(body(*single).vertices_m, densely(body, *single), atol=5e-6, rtol=1e-5)
    body = body.double()
    inputs = [x.requires_grad_() for x in make_inputs(MANY, torch.float64)]
    outcomes = []
    for vertices in (body(*inputs).vertices_m, densely(body, *inputs)):
        first = torch.autograd.grad(vertices.sin().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(torch.cat([g.flatten() for g in first]).cos().sum(), inputs)
        outcomes.append((vertices, *first, *second))
    for mine, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


def test_block_skinning_gradients_and_second_derivatives(body: Body):
    sparse = body.double().block_skinning
    assert isinstance(sparse, BlockSkinning)
    turned, moved, shape = torch.randn(2, 24, 3, 3), torch.randn(2, 24, 3), torch.randn(2, 10)
    inputs = tuple(x.double().requires_grad_() for x in (turned, moved, shape))
    torch.autograd.gradcheck(lambda *x: sparse(*x).sin(), inputs, fast_mode=True)
    torch.autograd.gradgradcheck(lambda *x: sparse(*x).sin(), inputs, fast_mode=True)


def test_block_skinning_accepts_noncontiguous_gradients(body: Body):
    """The gradient of a sum is an expanded scalar."""
    rotations, shape, _ = make_inputs(MANY)
    rotations.requires_grad_()
    mine, theirs = (
        torch.autograd.grad(vertices.sum(), rotations)[0]
        for vertices in (body(rotations, shape).vertices_m, densely(body, rotations, shape))
    )
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-5)


def test_large_batches_equal_small_ones():
    """The built-in body uses dense skinning for small batches."""
    body = load_body()
    assert body.block_skinning is not None
    rotations, shape, translation = make_inputs(MANY)
    together = body(rotations, shape, translation)
    for k in range(MANY):
        alone = body(rotations[k : k + 1], shape[k : k + 1], translation[k : k + 1])
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[k : k + 1], one, atol=2e-6, rtol=1e-5)


def test_block_skinning_is_only_used_for_sparse_weights():
    assert Body(make_arrays(features=0)).block_skinning is None  # all vertices depend on all joints
    assert Body(replace(make_arrays(VERTICES), weights=sparse_weights())).block_skinning is None  # pose corrections


def test_block_skinning_after_inference_mode_has_gradients(body: Body):
    rotations, shape, _ = make_inputs(MANY)
    with torch.inference_mode():
        expected = body(rotations, shape).vertices_m
    rotations.requires_grad_()
    actual = body(rotations, shape).vertices_m
    torch.testing.assert_close(actual, expected.clone())
    assert torch.autograd.grad(actual.sum(), rotations)[0].isfinite().all()

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from meshtto.procrustes import align, similarity

seeds = st.integers(0, 2**31)


def points(seed: int, *shape: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points, and a random similarity of them with noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    turn = torch.from_numpy(Rotation.random(shape[0], rng=seed).as_matrix())
    scale = 0.2 + 3 * torch.rand(shape[0], 1, 1, generator=generator, dtype=torch.float64)
    shift = torch.randn(shape[0], 1, 3, generator=generator, dtype=torch.float64)
    y = scale * x @ turn.mT + shift
    return x, y + noise * torch.randn(y.shape, generator=generator, dtype=torch.float64)


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_align_undoes_a_similarity(seed):
    x, y = points(seed, 4, 14)
    torch.testing.assert_close(align(x, y), y, atol=1e-9, rtol=0)


@given(seeds, st.floats(0.01, 3.0))
@settings(deadline=None, max_examples=30)
def test_similarity_agrees_with_scipy(seed, noise):
    x, y = points(seed, 3, 14, noise=noise)
    result = similarity(x, y)
    for i in range(3):
        a, b = x[i] - x[i].mean(0), y[i] - y[i].mean(0)
        turn, _ = Rotation.align_vectors(b.numpy(), a.numpy())
        np.testing.assert_allclose(result.rotation[i].numpy(), turn.as_matrix(), atol=1e-6)
        turned = a @ torch.from_numpy(turn.as_matrix()).T
        assert result.scale[i].item() == pytest.approx(((turned * b).sum() / (a**2).sum()).item(), abs=1e-9)
    torch.testing.assert_close(torch.linalg.det(result.rotation), torch.ones(3, dtype=torch.float64))


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_similarity_is_optimal(seed):
    x, y = points(seed, 1, 14, noise=0.5)
    result = similarity(x, y)
    best = (result(x) - y).square().sum()
    turn = torch.from_numpy(Rotation.from_rotvec([[1e-3, -2e-3, 5e-4]]).as_matrix())
    for other in (
        result._replace(scale=result.scale * 1.001),
        result._replace(translation=result.translation + 1e-3),
        result._replace(rotation=turn @ result.rotation),
    ):
        assert (other(x) - y).square().sum() > best


def test_align_does_not_undo_a_reflection():
    x, _ = points(0, 2, 14)
    mirrored = x * x.new_tensor([-1, 1, 1])
    assert (align(mirrored, x) - x).norm(dim=-1).mean() > 0.1
    torch.testing.assert_close(torch.linalg.det(similarity(mirrored, x).rotation), torch.ones(2, dtype=torch.float64))


def test_align_batch_equals_single_samples():
    x, y = points(3, 5, 14, noise=0.3)
    single = torch.cat([align(x[i : i + 1], y[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(align(x, y), single)


def test_similarity_handles_degenerate_points():
    x, y = points(0, 3, 14)
    x[0] = x[0, :1]  # coincident
    x[1] = x[1, :1] * torch.linspace(0, 1, 14, dtype=torch.float64)[:, None]  # collinear
    x[2, :, 2] = 0  # coplanar
    result = similarity(x, y)
    torch.testing.assert_close(torch.linalg.det(result.rotation), torch.ones(3, dtype=torch.float64))
    assert result.scale[0] == 1
    torch.testing.assert_close(align(x, y)[0], y[0].mean(0).expand(14, 3))
    assert align(x, y).isfinite().all()


def test_align_keeps_nan_in_its_sample():
    x, y = points(0, 3, 14)
    x[1, 3, 0] = float("nan")
    aligned = align(x, y)
    assert aligned[1].isnan().all()
    torch.testing.assert_close(aligned[[0, 2]], y[[0, 2]])

"""The CPU kernel compared with SciPy's interpolation and PyTorch's; properties of warps are tested in test_affine."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from hamipose.geometry.affine import invert
from hamipose.geometry.warp_runtime import initialize_warp
from hamipose.heatmaps import warp_heatmaps
from hamipose.models.network import PoseNetwork
from hamipose.skeletons import BODY16, HAND21

initialize_warp()

from hamipose.geometry.cpu_warp import warp_channels_last  # noqa: E402  after warp is initialized without output


def last(*shape: int) -> torch.Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def views(batch: int, side: int) -> torch.Tensor:
    """Return maps from cells of the result to cells of the input, some of them outside."""
    matrices = torch.eye(2, 3) + 0.4 * torch.randn(batch, 2, 3)
    matrices[..., 2] *= side / 2
    return matrices


def reference_scipy(maps: torch.Tensor, inverse: torch.Tensor, mirrored: torch.Tensor, mirror: list[int]) -> np.ndarray:
    """Interpolate map by map, in double precision."""
    height, width = maps.shape[-2:]
    y, x = np.mgrid[:height, :width]
    found = np.zeros(maps.shape)
    for n, matrix in enumerate(inverse.double().numpy()):
        places = [matrix[axis, 0] * x + matrix[axis, 1] * y + matrix[axis, 2] for axis in (1, 0)]
        for k in range(maps.shape[1]):
            channel = maps[n, mirror[k] if mirrored[n] else k].double().numpy()
            found[n, k] = map_coordinates(channel, places, order=1, mode="grid-constant", cval=0.0)
    return found


@pytest.mark.parametrize(
    ("shape", "mirror"),
    [
        ((5, 16, 24, 32), BODY16.mirror),
        ((2, 21, 16, 16), HAND21.mirror),
        ((3, 7, 9, 5), [6, 5, 4, 3, 2, 1, 0]),
        ((1, 1, 6, 40), [0]),
        ((4, 3, 2, 2), [1, 0, 2]),
    ],
)
def test_warp_equals_scipy(shape: tuple[int, ...], mirror: list[int]) -> None:
    maps, inverse, mirrored = last(*shape), views(shape[0], shape[2]), torch.arange(shape[0]) % 2 == 0
    found, _ = warp_channels_last(maps, inverse, mirrored, mirror, 0.0)
    np.testing.assert_allclose(found.numpy(), reference_scipy(maps, inverse, mirrored, mirror), atol=2e-4)


def test_reference_distinguishes_mirrored_maps() -> None:
    maps, inverse = last(1, 16, 24, 32), views(1, 24)
    faces = [reference_scipy(maps, inverse, torch.tensor([m]), BODY16.mirror) for m in (False, True)]
    assert np.abs(faces[0] - faces[1]).max() > 0.5


@pytest.mark.parametrize("shape", [(7, 16, 24, 32), (9, 16, 2, 3), (1, 5, 64, 64)])
def test_kernel_equals_grid_sample(shape: tuple[int, ...]) -> None:
    """Channels-last heatmaps use the kernel, channels-first heatmaps use `grid_sample`."""
    heatmaps, matrices = last(*shape), invert(views(shape[0], shape[2]))
    mirrored, mirror = torch.arange(shape[0]) % 3 == 0, BODY16.mirror if shape[1] == 16 else list(range(shape[1]))
    here, known = warp_heatmaps(heatmaps, matrices, mirrored, mirror)
    there, known_there = warp_heatmaps(heatmaps.contiguous(), matrices, mirrored, mirror)
    assert here.is_contiguous(memory_format=torch.channels_last)
    assert there.is_contiguous()
    torch.testing.assert_close(here, there, atol=2e-4, rtol=0)
    assert torch.equal(known, known_there)
    assert 0 < known.float().mean() < 1


def test_outputs_of_a_network_use_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamipose.geometry.affine.F.grid_sample", None)
    with torch.no_grad():
        heatmaps = PoseNetwork(16, "resnet10t", deconv_channels=(8, 8, 8))(torch.rand(2, 3, 64, 64))
    mirrored = torch.tensor([True]).expand(2)
    found, _ = warp_heatmaps(heatmaps, torch.eye(2, 3).expand(2, 2, 3), mirrored, BODY16.mirror)
    torch.testing.assert_close(found, heatmaps[:, BODY16.mirror], atol=1e-5, rtol=0)


def test_input_is_not_modified_and_a_batch_equals_its_images() -> None:
    maps, inverse, mirrored = last(3, 16, 8, 8), views(3, 8), torch.tensor([True, False, True])
    before = maps.clone()
    together, known = warp_channels_last(maps, inverse, mirrored, BODY16.mirror, 1e-4)
    assert torch.equal(maps, before)
    for n in range(3):
        apart = warp_channels_last(maps[n : n + 1], inverse[n : n + 1], mirrored[n : n + 1], BODY16.mirror, 1e-4)
        assert torch.equal(apart[0], together[n : n + 1])
        assert torch.equal(apart[1], known[n : n + 1])
    empty = warp_channels_last(maps[:0], inverse[:0], mirrored[:0], BODY16.mirror, 1e-4)
    assert empty[0].shape == (0, 16, 8, 8)
    assert empty[1].shape == (0, 8, 8)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_infinite_positions_are_unknown_and_nan_stays_nan(value: float) -> None:
    inverse = torch.eye(2, 3).repeat(2, 1, 1)
    inverse[1, 0, 2] = value
    found, known = warp_channels_last(last(2, 16, 8, 8), inverse, torch.tensor([False, True]), BODY16.mirror, 1e-4)
    assert found[0].isfinite().all()
    assert known[0].all()
    assert not known[1].any()
    assert found[1].isnan().all() if math.isnan(value) else (found[1] == 0).all()


@pytest.mark.parametrize("far", [1e6, 1e12, 1e30])
def test_positions_far_outside_are_zero(far: float) -> None:
    inverse = torch.eye(2, 3)[None] * far
    inverse[..., 2] = torch.tensor([-far, far])
    found, known = warp_channels_last(last(1, 16, 8, 8), inverse, torch.tensor([False]), BODY16.mirror, 1e-4)
    assert not found.any()
    assert not known.any()


def test_mirrors_without_pairs_raise() -> None:
    with pytest.raises(ValueError, match="mirror: channel 0 is exchanged with 1, and that with 2"):
        warp_channels_last(last(1, 3, 8, 8), views(1, 8), torch.tensor([True]), [1, 2, 0], 1e-4)

"""Pseudo-labels from a network's own heatmaps: peaks, Gaussians at the peaks, and a confidence mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hamipose.engine.distributed import gather_batch
from hamipose.heatmaps import encode
from hamipose.precision import at_least_single

__all__ = ["confident", "ground_false", "peaks", "rectify"]


def peaks(
    heatmaps: Float[Tensor, "*batch height width"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return position (x, y) in whole cells and height of each map's highest cell, which may be negative.

    (The common ``get_max_preds`` moves maps without a positive value to (0, 0), which is wrong for log-densities.)
    """
    height, index = at_least_single(heatmaps.detach()).flatten(-2).max(-1)
    width = heatmaps.shape[-1]
    return torch.stack([index % width, index // width], -1).float(), height


def rectify(
    heatmaps: Float[Tensor, "*batch keypoint height width"], sigma: float = 2.0, stride: int = 4
) -> Float[Tensor, "*batch keypoint height width"]:
    r"""Return a Gaussian of height 1, cut off at ±3σ, at each map's highest cell (RegDA's labels, UniFrame's R).

    .. math:: R(H)_k(u) = \exp(-\|u - u^*_k\|^2 / 2\sigma^2), \qquad u^*_k = \arg\max_u H_k(u)

    Args:
        heatmaps: heatmaps of any network; no gradient flows back to them.
        sigma: standard deviation of the Gaussian in cells.
        stride: pixels per cell.
    """
    cells, _ = peaks(heatmaps)
    size = (heatmaps.shape[-2] * stride, heatmaps.shape[-1] * stride)
    return encode(cells * stride, size, stride=stride, sigma=sigma, quantize=True)


def ground_false(
    truth: Float[Tensor, "batch keypoint height width"],
) -> Float[Tensor, "batch keypoint height width"]:
    r"""Return RegDA's maps of false labels: the positions of keypoint k if it is confused with another keypoint.

    .. math:: F_k = \mathrm{clip}\Big(\sum_{k' \ne k} R_{k'}, 0, 1\Big)
    """
    return (truth.sum(1, keepdim=True) - truth).clamp(0, 1)


def confident(heights: Float[Tensor, " batch *rest"], discard_fraction: float) -> Bool[Tensor, " batch *rest"]:
    """Return which labels have a peak above the ``int(discard_fraction · N)``-th lowest of N; all if that is 0.

    N is the number of labels of the whole batch, of all processes.
    """
    all_heights = gather_batch(heights).flatten()
    rank = int(discard_fraction * len(all_heights))
    if rank < 1:
        return torch.ones_like(heights, dtype=torch.bool)
    return heights > all_heights.kthvalue(rank).values

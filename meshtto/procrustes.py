"""The similarity that brings one set of points closest to another (Umeyama, 1991): scale, turn and shift, no mirror."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Similarity", "align", "similarity"]


class Similarity(NamedTuple):
    r"""The map :math:`x \mapsto s R x + t`."""

    scale: Float[Tensor, " batch"]
    rotation: Float[Tensor, "batch 3 3"]
    translation: Float[Tensor, "batch 3"]

    def __call__(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Carry points along."""
        return self.scale[:, None, None] * points @ self.rotation.mT + self.translation[:, None]


def similarity(source: Float[Tensor, "batch point 3"], target: Float[Tensor, "batch point 3"]) -> Similarity:
    r"""Minimises :math:`\sum_i \| s R x_i + t - y_i \|^2` over :math:`s`, :math:`t` and :math:`\det R = +1`.

    With :math:`U \Sigma V^\top` the singular values of :math:`\sum_i \bar y_i \bar x_i^\top` and
    :math:`S = \mathrm{diag}(1, 1, \det U V^\top)`: :math:`R = U S V^\top`, :math:`s = \mathrm{tr}(\Sigma S) / \sum_i
    \|\bar x_i\|^2`. Where the points do not determine the rotation (fewer than three, all on a line, all in one place)
    it is one of those that fit best; points all in one place keep scale 1. Where a coordinate is not a number, nothing
    of that pair of sets is.

    Args:
        source: x, points to move.
        target: y, where to.
    """
    finite = (source.isfinite() & target.isfinite()).all(-1).all(-1)
    safe = finite[:, None, None]
    x, y = torch.where(safe, source, 0.0), torch.where(safe, target, 0.0)
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    # What subtracting the mean leaves of points all in one place: rounding alone.
    rounding = x.square().sum((1, 2)) * (8 * torch.finfo(x.dtype).eps) ** 2
    x, y = x - x_mean, y - y_mean
    u, values, vh = torch.linalg.svd(y.mT @ x)
    sign = torch.ones_like(values)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    spread = x.square().sum((1, 2))
    placed = spread > rounding
    scale = torch.where(placed, (values * sign).sum(1) / torch.where(placed, spread, 1.0), 1.0)
    translation = y_mean[:, 0] - scale[:, None] * (x_mean @ rotation.mT)[:, 0]
    nan = torch.tensor(float("nan"), dtype=x.dtype, device=x.device)
    return Similarity(
        torch.where(finite, scale, nan),
        torch.where(safe, rotation, nan),
        torch.where(finite[:, None], translation, nan),
    )


def align(
    source: Float[Tensor, "batch point 3"], target: Float[Tensor, "batch point 3"]
) -> Float[Tensor, "batch point 3"]:
    """The source, moved onto the target by :func:`similarity`."""
    return similarity(source, target)(source)

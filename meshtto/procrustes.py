"""Similarity transform that best aligns two point sets (Umeyama, 1991): scale, rotation, translation, no reflection."""

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
        """Transform points."""
        return self.scale[:, None, None] * points @ self.rotation.mT + self.translation[:, None]


def similarity(source: Float[Tensor, "batch point 3"], target: Float[Tensor, "batch point 3"]) -> Similarity:
    r"""Minimize :math:`\sum_i \| s R x_i + t - y_i \|^2` over :math:`s`, :math:`t` and :math:`\det R = +1`.

    With :math:`U \Sigma V^\top` the singular values of :math:`\sum_i \bar y_i \bar x_i^\top` and
    :math:`S = \mathrm{diag}(1, 1, \det U V^\top)`: :math:`R = U S V^\top`, :math:`s = \mathrm{tr}(\Sigma S) / \sum_i
    \|\bar x_i\|^2`. If the points do not determine the rotation (fewer than three, collinear or coincident points), it
    is one of the best-fitting rotations; coincident points keep scale 1. If a coordinate is not finite, the whole
    result of that pair is NaN.

    Args:
        source: x, the points to transform.
        target: y, the points to align with.
    """
    finite = (source.isfinite() & target.isfinite()).all(-1).all(-1)
    safe = finite[:, None, None]
    x, y = torch.where(safe, source, 0.0), torch.where(safe, target, 0.0)
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    # Spread that subtracting the mean leaves of coincident points: rounding errors only.
    rounding = x.square().sum((1, 2)) * (8 * torch.finfo(x.dtype).eps) ** 2
    x, y = x - x_mean, y - y_mean
    u, values, vh = torch.linalg.svd(y.mT @ x)
    sign = torch.ones_like(values)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    spread = x.square().sum((1, 2))
    spread_out = spread > rounding
    scale = torch.where(spread_out, (values * sign).sum(1) / torch.where(spread_out, spread, 1.0), 1.0)
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
    """Align the source with the target by :func:`similarity`."""
    return similarity(source, target)(source)

"""Metrics D_k of the last layer's rows: running averages of the optimizer's squared steps on them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.precision import at_least_single

__all__ = ["DiagonalMetric", "ScalarMetric"]


class ScalarMetric(nn.Module):
    r"""Metric of the paper, :math:`D_k = (\alpha_k + \epsilon) I`: one number per keypoint (eq. 3); cancels in ρ and a.

    .. math:: \alpha_k \leftarrow \mu \alpha_k + (1 - \mu)\,\mathrm{mean}((\Delta\theta^{(k)})^2)

    Args:
        keypoints: number of rows.
        decay: μ.
        eps: ϵ.
        initial: initial α.
    """

    alpha: Tensor

    def __init__(self, keypoints: int, decay: float = 0.99, eps: float = 1e-8, initial: float = 1.0) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("alpha", torch.full((keypoints, 1), initial))

    def inverse(self) -> Float[Tensor, "keypoint 1"]:
        """Return the diagonal of D⁻¹."""
        return 1 / (self.alpha + self.eps)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Add the actual step of the optimizer on the rows."""
        squares = at_least_single(increment).square().mean(1, keepdim=True)
        self.alpha.lerp_(squares.to(self.alpha.dtype), 1 - self.decay)


class DiagonalMetric(nn.Module):
    r"""Metric with one average per coordinate instead of per row, which does not cancel. Not in the paper.

    .. math::
        v \leftarrow \mu v + (1 - \mu)\,(\Delta\theta)^2, \qquad \alpha = v / (1 - \mu^t), \qquad
        D_k = \mathrm{diag}(\alpha_k) + \epsilon\,\mathrm{mean}(\alpha_k) I

    The initial value of the paper, :math:`\alpha_0 = 1`, dominates squared steps of 1e-8 for about 2000 steps, in which
    D is the identity. Here α is the bias-corrected average (as in Adam, Kingma & Ba, 2015, section 3), so that it
    contains only measured steps, and ϵ is a fraction of the row's mean, so that the metric does not depend on the size
    of the steps. Before the first step, and for a row that has never moved, D is the identity.

    Args:
        keypoints: number of rows.
        parameters: length of a row: the number of feature channels, plus one for the bias.
        decay: μ.
        eps: ϵ; the largest element of a row of D is at most ``1 + parameters / eps`` times the smallest.
    """

    average: Tensor
    steps: Tensor

    def __init__(self, keypoints: int, parameters: int, decay: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("average", torch.zeros(keypoints, parameters))
        self.register_buffer("steps", torch.zeros(()))

    def inverse(self) -> Float[Tensor, "keypoint parameter"]:
        """Return the diagonal of D⁻¹."""
        alpha = self.average / (1 - self.decay ** self.steps.clamp(min=1))
        mean = alpha.mean(1, keepdim=True)
        return 1 / torch.where(mean > 0, alpha + self.eps * mean, 1.0)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Add the actual step of the optimizer on the rows."""
        self.average.lerp_(at_least_single(increment).square().to(self.average.dtype), 1 - self.decay)
        self.steps += 1

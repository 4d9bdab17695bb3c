"""Metrics D_k of the last layer's rows: running averages of the squared steps that the optimizer made on them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.precision import at_least_single

__all__ = ["DiagonalMetric", "ScalarMetric"]


class ScalarMetric(nn.Module):
    r"""The paper's :math:`D_k = (\alpha_k + \epsilon) I`, one number per keypoint (eq. 3). It cancels in ρ and a.

    .. math:: \alpha_k \leftarrow \mu \alpha_k + (1 - \mu)\,\mathrm{mean}((\Delta\theta^{(k)})^2)

    Args:
        keypoints: number of rows.
        decay: μ.
        eps: ϵ.
        initial: α at the start.
    """

    alpha: Tensor

    def __init__(self, keypoints: int, decay: float = 0.99, eps: float = 1e-8, initial: float = 1.0) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("alpha", torch.full((keypoints, 1), initial))

    def inverse(self) -> Float[Tensor, "keypoint 1"]:
        """Diagonal of D⁻¹."""
        return 1 / (self.alpha + self.eps)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Take in the step that the optimizer really made on the rows."""
        seen = at_least_single(increment).square().mean(1, keepdim=True)
        self.alpha.lerp_(seen.to(self.alpha.dtype), 1 - self.decay)


class DiagonalMetric(nn.Module):
    r"""The same average per coordinate instead of per row: a metric that does not cancel. Not in the paper.

    .. math::
        v \leftarrow \mu v + (1 - \mu)\,(\Delta\theta)^2, \qquad \alpha = v / (1 - \mu^t), \qquad
        D_k = \mathrm{diag}(\alpha_k) + \epsilon\,\mathrm{mean}(\alpha_k) I

    The paper's start, :math:`\alpha_0 = 1`, outweighs squared steps of 1e-8 for some 2000 steps, in which D is the
    identity. Here α is the bias-corrected average (as in Adam, Kingma & Ba, 2015, section 3), so that it consists of
    measured steps alone from the first one on, and ϵ is a share of the row's mean, so that the metric does not depend
    on the size of the steps. Before the first step, and for a row that has never moved, D is the identity.

    Args:
        keypoints: number of rows.
        parameters: length of a row: the channels of the features, and one for the bias.
        decay: μ.
        eps: ϵ; bounds the ratio of the largest to the smallest element of a row of D by ``1 + parameters / eps``.
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
        """Take in the step that the optimizer really made on the rows."""
        self.average.lerp_(at_least_single(increment).square().to(self.average.dtype), 1 - self.decay)
        self.steps += 1

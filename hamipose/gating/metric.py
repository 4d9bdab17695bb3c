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

    Args:
        keypoints: number of rows.
        parameters: length of a row: the channels of the features, and one for the bias.
        decay: μ.
        eps: ϵ.
        initial: α at the start. While 0.99^t · initial outweighs the squared steps the metric is nearly the identity.
    """

    alpha: Tensor

    def __init__(
        self, keypoints: int, parameters: int, decay: float = 0.99, eps: float = 1e-8, initial: float = 1.0
    ) -> None:
        super().__init__()
        self.decay = decay
        self.eps = eps
        self.register_buffer("alpha", torch.full((keypoints, parameters), initial))

    def inverse(self) -> Float[Tensor, "keypoint parameter"]:
        """Diagonal of D⁻¹."""
        return 1 / (self.alpha + self.eps)

    @torch.no_grad()
    def update(self, increment: Float[Tensor, "keypoint parameter"]) -> None:
        """Take in the step that the optimizer really made on the rows."""
        self.alpha.lerp_(at_least_single(increment).square().to(self.alpha.dtype), 1 - self.decay)

"""A linear layer whose input is partly constant, for the feedback loop of a head."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["SplitLinear"]


class SplitLinear(nn.Linear):
    r"""Compute :math:`z = W [x; y] + b` with constant x: :math:`W_x x + b` is computed once for many y.

    The parameters and their names are those of a linear layer over :math:`[x; y]`.
    """

    def fixed_part(self, x: Float[Tensor, "batch fixed"]) -> Float[Tensor, "batch out"]:
        """Compute :math:`W_x x + b`."""
        return linear(x, self.weight[:, : x.shape[1]], self.bias)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch fixed"], y: Float[Tensor, "batch rest"], of_x: Float[Tensor, "batch out"]
    ) -> Float[Tensor, "batch out"]:
        """Compute z.

        Args:
            x: the constant part of the input.
            y: the rest of the input.
            of_x: the result of :meth:`fixed_part` for x.
        """
        return torch.addmm(of_x, y, self.weight[:, x.shape[1] :].mT)

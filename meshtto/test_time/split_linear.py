"""A linear layer part of whose input stays while the rest changes: the feedback loop of a head."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["HeldLinear"]


class HeldLinear(nn.Linear):
    r""":math:`z = W [x; y] + b`, where x is what is held: :math:`W_x x + b` is computed once for many y.

    Parameters and their names are those of a linear layer over :math:`[x; y]`.
    """

    def hold(self, x: Float[Tensor, "batch held"]) -> Float[Tensor, "batch out"]:
        """:math:`W_x x + b`."""
        return linear(x, self.weight[:, : x.shape[1]], self.bias)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch held"], y: Float[Tensor, "batch rest"], of_x: Float[Tensor, "batch out"]
    ) -> Float[Tensor, "batch out"]:
        """z.

        Args:
            x: what is held.
            y: the rest of the input.
            of_x: what :meth:`hold` made of x.
        """
        return torch.addmm(of_x, y, self.weight[:, x.shape[1] :].mT)

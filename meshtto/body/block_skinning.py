r"""Skinning without pose corrections as a sum of products of sparse matrices.

Neighbors in a body's vertex list are neighbors on its skin, so the list can be split into *blocks* that depend on few
joints each: the built-in body's 53 blocks depend on 3.1 of 24 joints on average. In a block

.. math:: v = \sum_k w_k \left(G_k (T + S\beta) + q_k\right) = \sum_k \left[G_k \otimes (1, \beta),\, q_k\right] \cdot
    w_k \left[T, S, 1\right]

where the sum is over the block's own joints: a product of 34 numbers per joint, independent of the vertex, and a
constant matrix. No intermediate result has the size of the surface, neither here nor in the gradient, whose sum over
vertices is a product as well. On a CPU this takes 0.44 ms per step and body instead of 0.85 ms, of 1.4 ms for a whole
step of test-time optimization (`benchmarks/results/meshtto_builtin/README.md`).
"""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Block", "BlockSkinning", "split_blocks"]

#: Blocks may start at multiples of this.
_GRID = 16
#: Cost of an additional product, expressed as a number of vertices that depend on one joint.
_PRODUCT = 200
#: If vertices depend on more joints than this on average, a dense product is as fast.
_DENSE = 6


class Block(NamedTuple):
    """A block of consecutive vertices."""

    begin: int
    end: int
    joints: list[int]
    """Joints that any of its vertices depends on."""


def split_blocks(weights: Float[Tensor, "joint vertex"]) -> list[Block]:
    """Find the blocks with the least work; a block costs vertices times joints, plus a fixed overhead."""
    follows = (weights != 0).T.cpu()
    starts = list(range(0, len(follows), _GRID))
    pieces = torch.stack([piece.any(0) for piece in follows.split(_GRID)])
    ends = torch.tensor([*starts[1:], len(follows)])
    # Dynamic programming: for each cut, the predecessor with the lowest total cost.
    least = torch.full((len(pieces) + 1,), float("inf"), dtype=torch.float64)
    least[0] = 0
    last = torch.zeros(len(pieces) + 1, dtype=torch.long)
    for first, start in enumerate(starts):
        joints = pieces[first:].cummax(0).values.sum(1)
        cost = least[first] + _PRODUCT + (ends[first:] - start) * joints
        better = cost < least[first + 1 :]
        least[first + 1 :][better] = cost[better]
        last[first + 1 :][better] = first
    cuts = [len(pieces)]
    while cuts[-1]:
        cuts.append(int(last[cuts[-1]]))
    return [Block(starts[a], int(ends[b - 1]), pieces[a:b].any(0).nonzero()[:, 0].tolist()) for b, a in pairwise(cuts)][
        ::-1
    ]


class _Along(torch.autograd.Function):
    """Multiply each block's rows by its matrix, and concatenate; linear in the rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrices: list[Tensor]) -> Tensor:
        ctx.matrices = matrices
        out = rows.new_empty(rows.shape[1], sum(matrix.shape[1] for matrix in matrices))
        parts = out.split([matrix.shape[1] for matrix in matrices], 1)
        for row_block, matrix, part in zip(rows.split([len(m) for m in matrices]), matrices, parts, strict=True):
            torch.mm(row_block.mT, matrix, out=part)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Across.apply(gradients[0], ctx.matrices), None


class _Across(torch.autograd.Function):
    """The transpose of :class:`_Along`, equally linear: each is the other's gradient, to any order."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, matrices: list[Tensor]) -> Tensor:
        ctx.matrices = matrices
        out = columns.new_empty(sum(len(matrix) for matrix in matrices), len(columns))
        parts = columns.split([matrix.shape[1] for matrix in matrices], 1)
        for out_block, matrix, part in zip(out.split([len(m) for m in matrices]), matrices, parts, strict=True):
            torch.mm(matrix, part.mT, out=out_block)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Along.apply(gradients[0], ctx.matrices), None


class BlockSkinning(nn.Module):
    """Skin a body's surface block by block.

    Args:
        weights: skinning weights.
        template: the mean body in the rest pose; first all x, then all y, all z.
        shape_dirs: displacement per coefficient, in the same order.
    """

    weights: Tensor
    surface: Tensor
    joints: Tensor

    def __init__(
        self,
        weights: Float[Tensor, "joint vertex"],
        template: Float[Tensor, " coordinate"],
        shape_dirs: Float[Tensor, "coefficient coordinate"],
    ) -> None:
        super().__init__()
        self.parts = split_blocks(weights)
        # An axis' mean and directions, for each axis, then the factor of a joint's translation.
        surface = torch.cat([template[None], shape_dirs]).unflatten(1, (3, -1)).transpose(0, 1).flatten(0, 1)
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("surface", torch.cat([surface, torch.ones_like(surface[:1])]), persistent=False)
        joints = torch.tensor([k for part in self.parts for k in part.joints])
        self.register_buffer("joints", joints, persistent=False)
        self._matrices: list[Tensor] = []

    @property
    def worthwhile(self) -> bool:
        """Whether the weights are sparse enough for this to be faster than a dense product."""
        return sum((part.end - part.begin) * len(part.joints) for part in self.parts) <= _DENSE * self.weights.shape[1]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._matrices = []  # recomputed on demand in the new precision, or on the new device
        return super()._apply(fn, recurse)

    def _block_matrices(self) -> list[Tensor]:
        """Return the constant matrix of each block, [34 per joint, vertex]."""
        if not self._matrices:
            self._matrices = [
                (self.weights[joints, None, begin:end] * self.surface[:, begin:end]).flatten(0, 1)
                for begin, end, joints in self.parts
            ]
        return self._matrices

    def forward(
        self,
        turned: Float[Tensor, "batch joint 3 3"],
        moved: Float[Tensor, "batch joint 3"],
        shape: Float[Tensor, "batch coefficient"],
    ) -> Float[Tensor, "batch 3 vertex"]:
        r"""Skin all vertices.

        Args:
            turned: :math:`G_k`.
            moved: :math:`q_k`, the image of the origin under a joint's motion.
            shape: :math:`\beta`.
        """
        one = torch.cat([torch.ones_like(shape[:, :1]), shape], 1).mT
        joint_rows = turned.permute(1, 3, 0, 2)[:, :, None] * one[:, :, None]  # joint, axis, coefficient, batch, row
        joint_rows = torch.cat([joint_rows.flatten(1, 2), moved.transpose(0, 1)[:, None]], 1)
        rows = joint_rows.flatten(1).index_select(0, self.joints).view(-1, 3 * len(shape))
        placed: Tensor = _Along.apply(rows, self._block_matrices())  # type: ignore[no-untyped-call]
        return placed.view(len(shape), 3, -1)

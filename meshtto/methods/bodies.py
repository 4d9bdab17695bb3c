"""The body models of a run: what predictions are made of, and what labels belong to."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshtto.body import Body, load_body
from meshtto.types import GENDERS

__all__ = ["Bodies"]


class Bodies:
    """Loaded when first asked for, moved to where they are asked for.

    Not a module: a body is the user's file, under terms of its own, and must not end up in checkpoints.

    Args:
        name: as :func:`meshtto.body.load_body` takes it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._loaded: dict[str, Body] = {}

    def of(self, gender: str, device: torch.device) -> Body:
        """The body of a gender."""
        if gender not in self._loaded:
            self._loaded[gender] = load_body(self.name, gender)
        body = self._loaded[gender] = self._loaded[gender].to(device)
        return body

    def labelled(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        gender: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch vertex 3"]:
        """Vertices of labels, each under its own gender's body."""
        found = torch.unique(gender).tolist()
        if len(found) == 1:
            return self.of(GENDERS[found[0]], rotations.device)(rotations, shape).vertices_m
        neutral = self.of("neutral", rotations.device)(rotations, shape).vertices_m
        vertices = neutral.clone()
        for position in found:
            mine = gender == position
            if GENDERS[position] != "neutral":
                vertices[mine] = self.of(GENDERS[position], rotations.device)(rotations[mine], shape[mine]).vertices_m
        return vertices

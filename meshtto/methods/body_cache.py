"""The body models of a run: what predictions are made of, and what labels belong to."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshtto.body import Body, load_body
from meshtto.types import GENDERS

__all__ = ["Bodies"]


@lru_cache(maxsize=8)
def _loaded(name: str, gender: str, device: str) -> Body:
    """Constant, so that all methods of a process can share it."""
    return load_body(name, gender).to(device)


class Bodies:
    """Loaded when first asked for, once on each device.

    Not a module: a body is the user's file, under terms of its own, and must not end up in checkpoints.

    Args:
        name: as :func:`meshtto.body.load_body` takes it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def of(self, gender: str, device: torch.device) -> Body:
        """The body of a gender; the built-in one is one for all."""
        return _loaded(self.name, "neutral" if self.name == "builtin" else gender, str(device))

    def labelled(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        gender: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch vertex 3"]:
        """Vertices of labels, each under its own gender's body."""
        # Asking a GPU which there are costs a wait.
        found = [GENDERS.index("neutral")] if self.name == "builtin" else torch.unique(gender).tolist()
        if len(found) == 1:
            return self.of(GENDERS[found[0]], rotations.device)(rotations, shape).vertices_m
        neutral = self.of("neutral", rotations.device)(rotations, shape).vertices_m
        vertices = neutral.clone()
        for position in found:
            mine = gender == position
            if GENDERS[position] != "neutral":
                vertices[mine] = self.of(GENDERS[position], rotations.device)(rotations[mine], shape[mine]).vertices_m
        return vertices

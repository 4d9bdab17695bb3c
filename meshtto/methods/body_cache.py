"""Cache of the body models of a run: the body of predictions and the bodies of labels."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshtto.body import Body, body_source, load_body
from meshtto.types import GENDERS

__all__ = ["BodyCache"]


@lru_cache(maxsize=8)
def _loaded(name: str, gender: str, device: str) -> Body:
    """Load a body; bodies are constant, so all methods of a process share them."""
    return load_body(name, gender).to(device)


class BodyCache:
    """Loads each body on first use, once per device.

    This is not a module: a body is the user's file, under its own license, and must not end up in checkpoints.

    Args:
        name: see :func:`meshtto.body.load_body`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.gendered = body_source(name).gendered

    def get(self, gender: str, device: torch.device) -> Body:
        """Return the body of a gender; the same for all genders if the body is not gendered."""
        return _loaded(self.name, gender if self.gendered else "neutral", str(device))

    def label_vertices(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        gender: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch vertex 3"]:
        """Return the vertices of labels, each posed with the body of its gender."""
        # unique() synchronizes a GPU: skip it if there is only one body.
        found = torch.unique(gender).tolist() if self.gendered else [GENDERS.index("neutral")]
        if len(found) == 1:
            return self.get(GENDERS[found[0]], rotations.device)(rotations, shape).vertices_m
        neutral = self.get("neutral", rotations.device)(rotations, shape).vertices_m
        vertices = neutral.clone()
        for position in found:
            mine = gender == position
            if GENDERS[position] != "neutral":
                vertices[mine] = self.get(GENDERS[position], rotations.device)(rotations[mine], shape[mine]).vertices_m
        return vertices

"""Cache of the body models of a run: the body of predictions and the bodies of labels."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshtto.body import Body, ShapeMap, body_source, load_body, match_shapes, with_shapes_of
from meshtto.types import GENDERS

__all__ = ["BodyCache"]


@lru_cache(maxsize=8)
def _loaded(name: str, gender: str, device: str) -> Body:
    """Load a body; bodies are constant, so all methods of a process share them."""
    return load_body(name, gender).to(device)


@lru_cache(maxsize=2)
def _transferred(source: str, target: str, device: str) -> Body:
    return Body(with_shapes_of(body_source(target).arrays("neutral"), _shape_map(source, target))).to(device)


@lru_cache(maxsize=2)
def _shape_map(source: str, target: str) -> ShapeMap:
    return match_shapes(*(body_source(name).arrays("neutral") for name in (source, target)))


class BodyCache:
    """Loads each body on first use, once per device.

    This is not a module: a body is the user's file, under its own license, and must not end up in checkpoints.

    Args:
        name: see :func:`meshtto.body.load_body`.
        shapes_of: body whose shape coefficients the networks predict, if another one; only for prediction.
    """

    def __init__(self, name: str, shapes_of: str | None = None) -> None:
        self.name, self.shapes_of = name, shapes_of
        self.gendered = body_source(name).gendered

    def get(self, gender: str, device: torch.device) -> Body:
        """Return the body of a gender; the same for all genders if the body is not gendered."""
        if self.shapes_of is not None:
            return _transferred(self.shapes_of, self.name, str(device))
        return _loaded(self.name, gender if self.gendered else "neutral", str(device))

    def plain(self, device: torch.device) -> Body:
        """Return the neutral body with its own coefficients."""
        return _loaded(self.name, "neutral", str(device))

    def own_parameters(
        self, shape: Float[Tensor, "batch 10"], translation_m: Float[Tensor, "batch 3"]
    ) -> tuple[Float[Tensor, "batch 10"], Float[Tensor, "batch 3"]]:
        """Return shape and translation for the body's own coefficients and its own rest pose.

        Args:
            shape: predicted coefficients.
            translation_m: translation of the body that :meth:`get` returns.
        """
        if self.shapes_of is None:
            return shape, translation_m
        matrix, offset, pelvis_dirs_m, pelvis_m = (
            torch.from_numpy(array).to(shape) for array in _shape_map(self.shapes_of, self.name)
        )
        return shape @ matrix + offset, translation_m - (shape @ pelvis_dirs_m + pelvis_m)

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

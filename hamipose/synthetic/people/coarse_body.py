"""Body model with fewer vertices for small images."""

import copy
from functools import lru_cache

import numpy as np

from hamipose.synthetic.people.body_model import BodyModel, body_model
from hamipose.synthetic.people.coarsening import coarsen
from hamipose.synthetic.surface import VertexNormals

__all__ = ["CoarseBodyModel", "body_model_for"]

#: Maximum side in pixels of images that show the coarse body. Its triangles are still about as small as a pixel.
_COARSE_UP_TO = 192
_COARSE_VERTICES = 4500


class CoarseBodyModel(BodyModel):
    """Body model with a third of the vertices, for small images; joints and points of the face are the same."""

    def __init__(self, full: BodyModel):
        import torch

        self.articulation, self._bone, self.eye_m = full.articulation, full._bone, full.eye_m
        ends = [full.rest_m[:, 2].argmin(), full.rest_m[:, 2].argmax()]
        keep, faces = coarsen(
            full.rest_m, full.faces, full.part, np.array([*full._regressed["head"][0], *ends]), _COARSE_VERTICES
        )
        self.faces = faces.astype(np.int32)
        self.face_part = full._weights[keep][faces].sum(1).argmax(1).astype(np.int32)
        self.rest_m, self.cloth_m, self.part = full.rest_m[keep], full.cloth_m[keep], full.part[keep]
        self.along, self.hair = full.along[keep], full.hair[keep]
        self.compute_normals = VertexNormals(self.faces, len(self.rest_m))

        # Points of the face are means of many vertices that move with the head; each becomes an additional vertex.
        model = full._model
        names = [name for name in full._regressed if name != "head"]
        means = torch.zeros(len(names), len(full.rest_m))
        for row, name in zip(means, names, strict=True):
            chosen, weights = full._regressed[name]
            row[torch.from_numpy(chosen)] = torch.from_numpy(weights).float()
        at = torch.from_numpy(keep)
        bones = torch.zeros(len(names), model.vertex_bone_indices.shape[1], dtype=model.vertex_bone_indices.dtype)
        bones[:, 0] = self._bone["head"]
        shares = torch.zeros(bones.shape)
        shares[:, 0] = 1.0
        self._model = copy.copy(model)
        self._model._buffers = dict(model._buffers) | {
            "template_vertices": torch.cat([model.template_vertices[at], means @ model.template_vertices]),
            "blendshapes": torch.cat([model.blendshapes[:, at], means @ model.blendshapes], 1),
            "vertex_bone_indices": torch.cat([model.vertex_bone_indices[at], bones]),
            "vertex_bone_weights": torch.cat([model.vertex_bone_weights[at], shares]),
        }
        self._regressed = {name: (np.array([len(keep) + k]), np.ones(1)) for k, name in enumerate(names)}
        self._regressed["head"] = (np.searchsorted(keep, full._regressed["head"][0]), np.full(4, 0.25))


@lru_cache(maxsize=1)
def _coarse_body_model() -> CoarseBodyModel:
    return CoarseBodyModel(body_model())


def body_model_for(size: int) -> BodyModel:
    """Return the body model for images with sides of `size` pixels."""
    return _coarse_body_model() if size <= _COARSE_UP_TO else body_model()

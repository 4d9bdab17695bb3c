"""Left forearm and hand of the body model, closed at the elbow, in any shape and pose."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.articulation import HandArticulation
from hamipose.synthetic.hands.poses import HandPose
from hamipose.synthetic.people.body_model import PARTS, body_model
from hamipose.synthetic.surface import VertexNormals

__all__ = ["Hand", "HandModel", "hand_model"]

_KEPT = ("left_forearm", "left_hand")
_TIP_VERTICES = 6
# Patterns and brightness variations are scaled for bodies; on a hand they are finer by this factor.
_PATTERN_SCALE = 5.0


@dataclass
class Hand:
    """A posed left hand with its forearm, in meters, with the wrist at the origin and the axes of the body at rest.

    Attributes:
        vertices_m, normals: vertices of the skin and their normals.
        points_m: keypoints of HAND21.
        length_m: length from the wrist along the joints of the middle finger to its tip.
    """

    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    points_m: Float[np.ndarray, "21 3"]
    length_m: float


class HandModel:
    """The hand model with constant properties of its surface, named as in `BodyModel`."""

    def __init__(self):
        self._body_model = body_model()
        full = self._body_model
        on_arm = np.isin(full.part, [PARTS.index(p) for p in _KEPT])
        kept = np.flatnonzero(on_arm)
        new = np.full(len(on_arm), -1)
        new[kept] = np.arange(len(kept))
        inside = on_arm[full.faces].all(1)
        faces = new[full.faces[inside]]
        # Close the open end, whose edges belong to one triangle only, with a fan around a vertex in its middle.
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        forward = {tuple(e) for e in edges.tolist()}
        rim = [(a, b) for a, b in edges.tolist() if (b, a) not in forward]
        self._kept, self._rim = kept, np.array(sorted({v for e in rim for v in e}))
        middle = len(kept)
        self.faces = np.concatenate([faces, np.array([(b, a, middle) for a, b in rim])]).astype(np.int32)
        forearm = PARTS.index("left_forearm")
        self.part = np.append(full.part[kept], forearm).astype(np.int32)
        self.face_part = np.append(full.face_part[inside], np.full(len(rim), forearm)).astype(np.int32)
        self.along = np.append(full.along[kept], full.along[kept][self._rim].min())
        self.hair = np.full(middle + 1, -1.0)
        self.cloth_m = _PATTERN_SCALE * self._close(full.cloth_m)
        self.rest_m = self._close(full.rest_m)

        articulation = full.articulation
        self._bone = {name: i for i, name in enumerate(articulation.bones)}
        bones = full.vertex_bones()
        self._tips = []
        for finger in range(1, 6):
            last, before = (articulation.heads[self._bone[f"finger{finger}-{j}.L"]] for j in (3, 2))
            own = np.flatnonzero(bones == self._bone[f"finger{finger}-3.L"])
            far = (full.rest_m[own] - last) @ (last - before)
            self._tips.append(own[np.argsort(-far, kind="stable")[:_TIP_VERTICES]])
        tips = np.stack([full.rest_m[t].mean(0) for t in self._tips])
        self.articulation = HandArticulation(articulation.bones, articulation.heads, tips)
        self.compute_normals = VertexNormals(self.faces, len(self.rest_m))

    def _close(self, values: Float[np.ndarray, "full 3"]) -> Float[np.ndarray, "vertex 3"]:
        """Return the values of the vertices of the hand, and their mean at the open end."""
        kept = values[self._kept]
        return np.concatenate([kept, kept[self._rim].mean(0, keepdims=True)])

    def pose_hand(self, shape: dict[str, float], pose: HandPose) -> Hand:
        """Pose the hand of a body with the given phenotype parameters of anny."""
        posed = self._body_model.pose_batch([shape], self.articulation.rotations([pose]))
        vertices, heads = posed.vertices_m[0], posed.heads_m[0]
        points = [heads[self._bone["wrist.L"]]]
        for finger, tip in enumerate(self._tips, start=1):
            points += [heads[self._bone[f"finger{finger}-{j}.L"]] for j in (1, 2, 3)]
            points.append(vertices[tip].mean(0))
        joints = np.stack(points)
        skin = self._close(vertices) - joints[0]
        middle = [0, *HAND21.indices(("middle_mcp", "middle_pip", "middle_dip", "middle_tip"))]
        return Hand(
            vertices_m=skin,
            normals=self.compute_normals(skin),
            points_m=joints - joints[0],
            length_m=float(np.linalg.norm(np.diff(joints[middle], axis=0), axis=1).sum()),
        )


@lru_cache(maxsize=1)
def hand_model() -> HandModel:
    """Return the hand model of this process, loaded on first use."""
    return HandModel()

"""The left forearm and hand, cut out of the body model and closed at the elbow, in any shape and pose."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.articulation import HandArticulation
from hamipose.synthetic.hands.poses import HandPose
from hamipose.synthetic.people.bodies import PARTS, bodies
from hamipose.synthetic.people.surface import Normals

__all__ = ["Hand", "HandSurface", "hand_surface"]

_KEPT = ("left_forearm", "left_hand")
_TIP_VERTICES = 6
# Patterns and blotches are made for bodies; on a hand they are this much finer.
_FINER = 5.0


@dataclass
class Hand:
    """One posed left hand with its forearm, meters, the wrist at the origin, axes of the body at rest.

    Attributes:
        vertices_m, normals: of the skin.
        points_m: the keypoints of HAND21.
        length_m: from the wrist over the joints of the middle finger to its tip.
    """

    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    points_m: Float[np.ndarray, "21 3"]
    length_m: float


class HandSurface:
    """Constant facts of the hand's surface, under the names that the renderer knows from `bodies.Bodies`."""

    def __init__(self):
        self._bodies = bodies()
        whole = self._bodies
        of_arm = np.isin(whole.part, [PARTS.index(p) for p in _KEPT])
        kept = np.flatnonzero(of_arm)
        new = np.full(len(of_arm), -1)
        new[kept] = np.arange(len(kept))
        inside = of_arm[whole.faces].all(1)
        faces = new[whole.faces[inside]]
        # The open end: edges of one triangle only, closed by a fan about a vertex in their middle.
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        forward = {tuple(e) for e in edges.tolist()}
        rim = [(a, b) for a, b in edges.tolist() if (b, a) not in forward]
        self._kept, self._rim = kept, np.array(sorted({v for e in rim for v in e}))
        middle = len(kept)
        self.faces = np.concatenate([faces, np.array([(b, a, middle) for a, b in rim])]).astype(np.int32)
        forearm = PARTS.index("left_forearm")
        self.part = np.append(whole.part[kept], forearm).astype(np.int32)
        self.face_part = np.append(whole.face_part[inside], np.full(len(rim), forearm)).astype(np.int32)
        self.along = np.append(whole.along[kept], whole.along[kept][self._rim].min())
        self.hair = np.full(middle + 1, -1.0)
        self.cloth_m = _FINER * self._closed(whole.cloth_m)
        self.rest_m = self._closed(whole.rest_m)

        articulation = whole.articulation
        self._bone = {name: i for i, name in enumerate(articulation.bones)}
        of_bone = whole.bones_of_vertices()
        self._tips = []
        for finger in range(1, 6):
            last, before = (articulation.heads[self._bone[f"finger{finger}-{j}.L"]] for j in (3, 2))
            own = np.flatnonzero(of_bone == self._bone[f"finger{finger}-3.L"])
            far = (whole.rest_m[own] - last) @ (last - before)
            self._tips.append(own[np.argsort(-far, kind="stable")[:_TIP_VERTICES]])
        tips = np.stack([whole.rest_m[t].mean(0) for t in self._tips])
        self.articulation = HandArticulation(articulation.bones, articulation.heads, tips)
        self.normals = Normals(self.faces, len(self.rest_m))

    def _closed(self, values: Float[np.ndarray, "whole 3"]) -> Float[np.ndarray, "vertex 3"]:
        """The values of the vertices that are kept, and their mean over the open end."""
        kept = values[self._kept]
        return np.concatenate([kept, kept[self._rim].mean(0, keepdims=True)])

    def hand(self, shape: dict[str, float], pose: HandPose) -> Hand:
        """A hand of a body of that shape (anny's phenotype parameters) in that pose."""
        posed = self._bodies.posed([shape], self.articulation.rotations([pose]))
        vertices, heads = posed.vertices_m[0], posed.heads_m[0]
        points = [heads[self._bone["wrist.L"]]]
        for finger, tip in enumerate(self._tips, start=1):
            points += [heads[self._bone[f"finger{finger}-{j}.L"]] for j in (1, 2, 3)]
            points.append(vertices[tip].mean(0))
        joints = np.stack(points)
        skin = self._closed(vertices) - joints[0]
        middle = [0, *HAND21.indices(("middle_mcp", "middle_pip", "middle_dip", "middle_tip"))]
        return Hand(
            vertices_m=skin,
            normals=self.normals(skin),
            points_m=joints - joints[0],
            length_m=float(np.linalg.norm(np.diff(joints[middle], axis=0), axis=1).sum()),
        )


@lru_cache(maxsize=1)
def hand_surface() -> HandSurface:
    """The hand of this process, loaded on first use."""
    return HandSurface()

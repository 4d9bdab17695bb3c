"""Bodies of all shapes and ages from anny, with the surface properties that rendering and labeling need."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hamipose.synthetic.people.anny_model import load_anny, one_thread
from hamipose.synthetic.people.articulation import Articulation, axis_rotation, shortest_rotation
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.surface import VertexNormals

__all__ = ["PARTS", "Body", "BodyModel", "PosedBodies", "body_model", "sample_shape"]

#: Parts of the surface; a vertex belongs to the part with the largest skinning weight.
PARTS = (
    *("torso", "head", "eyes"),
    *("left_upper_arm", "left_forearm", "left_hand", "right_upper_arm", "right_forearm", "right_hand"),
    *("left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot"),
)
_PART_OF_BONE = (
    *((("eye",), "eyes"), (("head", "neck02", "neck03"), "head")),
    *((("upperarm",), "upper_arm"), (("lowerarm",), "forearm"), (("wrist", "finger", "metacarpal"), "hand")),
    *((("upperleg",), "thigh"), (("lowerleg",), "shin"), (("foot", "toe"), "foot")),
)


@dataclass
class Body:
    """A posed body in the world: z up, meters, pelvis at the origin.

    Attributes:
        vertices_m, normals: vertices of the skin and their normals.
        points_m: anatomical points by name: joint centers, crown, face.
        height_m: body height at rest.
    """

    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    points_m: dict[str, Float[np.ndarray, "3"]]
    height_m: float


@dataclass
class PosedBodies:
    """A batch of posed bodies in the axes of the body model, before they are rotated and centered.

    Attributes:
        vertices_m: vertices of the skin.
        heads_m: starts of the bones.
        rest_z_m: heights of the vertices at rest.
    """

    vertices_m: Float[np.ndarray, "body vertex 3"]
    heads_m: Float[np.ndarray, "body bone 3"]
    rest_z_m: Float[np.ndarray, "body vertex"]


def sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw phenotype parameters of anny: adults, older people, and in one of five cases children."""
    age = rng.uniform(0.15, 0.6) if rng.random() < 0.2 else rng.uniform(0.6, 1.0)
    ancestry = rng.dirichlet([0.7, 0.7, 0.7])
    return {
        "gender": float(rng.beta(0.5, 0.5)),
        "age": float(age),
        "muscle": float(rng.beta(2.2, 2.2)),
        "weight": float(rng.beta(2.0, 2.2)),
        "height": float(rng.beta(2.5, 2.5)),
        "proportions": float(rng.uniform(0.2, 1.0)),
        "cupsize": float(rng.beta(2.0, 2.0)),
        "firmness": float(rng.uniform(0.2, 1.0)),
        "african": float(ancestry[0]),
        "asian": float(ancestry[1]),
        "caucasian": float(ancestry[2]),
    }


class BodyModel:
    """The body model with constant properties of its surface (index arrays and coordinates of the body at rest).

    Attributes:
        faces: triangles, counter-clockwise seen from outside.
        part, face_part: index in `PARTS` of each vertex and of each triangle.
        along: position along a limb (0 at its start, 1 at elbow or knee, 2 at wrist or ankle) or the trunk (0 at the
            hips, 1 at the neck).
        hair: height above the hairline in meters; hair grows where it is positive.
        cloth_m: coordinates of patterns on clothes in meters, running along the limbs.
        eye_m: position of the left eye at rest.
        compute_normals: function from vertices to their normals.
    """

    def __init__(self):
        model = load_anny()
        import torch

        self._model = model
        with torch.inference_mode(), one_thread():
            rest = model()
        self.rest_m = rest["vertices"][0].numpy().astype(np.float64)
        heads = rest["bone_poses"][0, :, :3, 3].numpy().astype(np.float64)
        self.articulation = Articulation(model.bone_labels, model.bone_parents, heads)
        self._bone = {name: i for i, name in enumerate(model.bone_labels)}
        self.eye_m = heads[self._bone["eye.L"]]
        self.faces = model.faces.numpy().astype(np.int32)
        self._assign_parts(model)
        self._assign_coordinates(heads)
        self.compute_normals = VertexNormals(self.faces, len(self.rest_m))
        self._find_landmarks()

    def _assign_parts(self, model: Any) -> None:
        """Assign vertices and triangles to body parts."""
        weights = np.zeros((len(self.rest_m), len(PARTS)))
        for bone, name in enumerate(model.bone_labels):
            part = next((p for starts, p in _PART_OF_BONE if name.startswith(starts)), "torso")
            if part not in PARTS:
                part = ("left_" if name.endswith("L") else "right_") + part
            on_bone = np.where(model.vertex_bone_indices.numpy() == bone, model.vertex_bone_weights.numpy(), 0.0)
            weights[:, PARTS.index(part)] += on_bone.sum(1)
        self._weights = weights
        self.part = weights.argmax(1).astype(np.int32)
        self.face_part = weights[self.faces].sum(1).argmax(1).astype(np.int32)

    def _assign_coordinates(self, heads: Float[np.ndarray, "bone 3"]) -> None:
        """Compute the surface coordinates along limbs, of cloth and of hair."""
        at, v = {n: heads[i] for n, i in self._bone.items()}, self.rest_m
        self.along = (v[:, 2] - at["upperleg01.L"][2]) / (at["neck01"][2] - at["upperleg01.L"][2])
        self.cloth_m = v.copy()
        for side, end in (("left", "L"), ("right", "R")):
            for parts, chain in (
                (("upper_arm", "forearm", "hand"), (f"upperarm01.{end}", f"lowerarm01.{end}", f"wrist.{end}")),
                (("thigh", "shin", "foot"), (f"upperleg01.{end}", f"lowerleg01.{end}", f"foot.{end}")),
            ):
                here = np.isin(self.part, [PARTS.index(f"{side}_{p}") for p in parts])
                a, b, c = (at[name] for name in chain)
                first = (v[here] - a) @ (b - a) / ((b - a) @ (b - a))
                second = (v[here] - b) @ (c - b) / ((c - b) @ (c - b))
                self.along[here] = np.where(first < 1.0, first, 1.0 + np.maximum(second, 0.0))
                straight = shortest_rotation((c - a) / np.linalg.norm(c - a), np.array([0.0, 0.0, -1.0]))
                self.cloth_m[here] = (v[here] - a) @ straight.T + [a[0], a[1], at["neck01"][2] - 0.1]
        # The hairline descends from the forehead over the ears to the nape.
        eye = 0.5 * (at["eye.L"] + at["eye.R"])
        backward = v[:, 1] - eye[1]
        line = eye[2] + np.interp(
            backward, [-0.03, 0.035, 0.075, 0.10, 0.13, 0.2], [0.065, 0.055, 0.0, -0.02, -0.07, -0.075]
        )
        self.hair = np.where(self.part == PARTS.index("head"), v[:, 2] - line, -1.0)

    def _find_landmarks(self) -> None:
        """Define points of the face as weighted means of a few vertices."""
        import anny

        regressor = anny.KeypointsRegressor.coco(self._model, ["nose", "left_ear", "right_ear"])
        weights = regressor.regression_weights.numpy()
        self._regressed = {}
        for name, row in zip(regressor.labels, weights, strict=True):
            chosen = np.flatnonzero(row)
            self._regressed[name] = (chosen, row[chosen].astype(np.float64))
        head = np.flatnonzero(self.part == PARTS.index("head"))
        crown = head[np.argsort(-self.rest_m[head, 2])[:4]]
        self._regressed["head"] = (crown, np.full(4, 0.25))

    def pose_batch(
        self, shapes: Sequence[dict[str, float]], rotations: Float[np.ndarray, "body bone 3 3"]
    ) -> PosedBodies:
        """Pose a batch of bodies; the last digits of the result depend on the batch size.

        Args:
            shapes: phenotype parameters of anny.
            rotations: rotation of each bone relative to its parent.
        """
        import torch

        deltas = np.zeros((len(shapes), len(self._bone), 4, 4), np.float32)
        deltas[..., :3, :3], deltas[..., 3, 3] = rotations, 1.0
        phenotypes = {name: torch.tensor([shape[name] for shape in shapes]) for name in shapes[0]}
        with torch.inference_mode(), one_thread():
            out = self._model(pose_parameters=torch.from_numpy(deltas), phenotype_kwargs=phenotypes)
        return PosedBodies(
            vertices_m=out["vertices"].numpy().astype(np.float64),
            heads_m=out["bone_poses"][..., :3, 3].numpy().astype(np.float64),
            rest_z_m=out["rest_vertices"][..., 2].numpy(),
        )

    def vertex_bones(self) -> Int[np.ndarray, " vertex"]:
        """Return the bone with the largest skinning weight of each vertex."""
        strongest = self._model.vertex_bone_weights.numpy().argmax(1)[:, None]
        return np.take_along_axis(self._model.vertex_bone_indices.numpy(), strongest, 1)[:, 0].astype(np.int64)

    def pose_body(self, shape: dict[str, float], pose: Pose, heading: float = 0.0) -> Body:
        """Pose one body.

        Args:
            shape: phenotype parameters of anny.
            pose: joint angles, pitch and roll of the whole body.
            heading: rotation about the vertical axis in degrees; 0 faces -y, positive turns to the person's left.
        """
        return self.place(self.pose_batch([shape], self.articulation.rotations([pose])), 0, pose, heading)

    def place(self, posed: PosedBodies, index: int, pose: Pose, heading: float = 0.0) -> Body:
        """Rotate a body of a batch by heading, pitch and roll, and move its pelvis to the origin."""
        vertices, heads = posed.vertices_m[index], posed.heads_m[index]
        points = self._compute_points(vertices, heads)
        rest_z = posed.rest_z_m[index]
        x, y, z = np.eye(3)
        whole = axis_rotation(z, np.asarray(heading)) @ axis_rotation(x, np.asarray(pose.pitch))
        whole = whole @ axis_rotation(y, np.asarray(pose.roll))
        center = points["pelvis"]
        vertices = (vertices[: len(self.rest_m)] - center) @ whole.T
        return Body(
            vertices_m=vertices,
            normals=self.compute_normals(vertices),
            points_m={name: whole @ (p - center) for name, p in points.items()},
            height_m=float(rest_z.max() - rest_z.min()),
        )

    def _compute_points(
        self, vertices: Float[np.ndarray, "vertex 3"], heads: Float[np.ndarray, "bone 3"]
    ) -> dict[str, Float[np.ndarray, "3"]]:
        """Return the anatomical points of a posed body by name."""
        at = {name: heads[i] for name, i in self._bone.items()}
        points = {}
        for side, end in (("left", "L"), ("right", "R")):
            for joint, bone in (
                *(("shoulder", "upperarm01"), ("elbow", "lowerarm01"), ("wrist", "wrist")),
                *(("hip", "upperleg01"), ("knee", "lowerleg01"), ("ankle", "foot"), ("eye", "eye")),
            ):
                points[f"{side}_{joint}"] = at[f"{bone}.{end}"]
        points["pelvis"] = 0.5 * (points["left_hip"] + points["right_hip"])
        points["thorax"] = 0.5 * at["neck01"] + 0.25 * (at["clavicle.L"] + at["clavicle.R"])
        points["neck"] = at["neck03"]
        for name, (chosen, weights) in self._regressed.items():
            points[name] = weights @ vertices[chosen]
        return points


@lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """Return the body model of this process, loaded on first use.

    Loading takes half a second, and about half a minute when anny's cache is built first.
    """
    return BodyModel()

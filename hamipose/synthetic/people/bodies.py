"""Bodies of all shapes and ages from anny, with what rendering and labeling need to know about their surface."""

import copy
import gzip
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hamipose.extras import require_packages
from hamipose.geometry.warp_runtime import initialize_warp
from hamipose.synthetic.people.articulation import Articulation, axis_rotation, shortest_rotation
from hamipose.synthetic.people.coarsening import coarsen
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.people.surface import Normals

__all__ = [
    "COARSE_UP_TO",
    "PARTS",
    "Bodies",
    "Body",
    "CoarseBodies",
    "PosedBodies",
    "bodies",
    "bodies_for",
    "sample_shape",
]

#: Pictures up to this side in pixels show the coarse body, whose triangles are still about as small as their pixels.
COARSE_UP_TO = 192
_COARSE_VERTICES = 4500

#: Parts of the surface, by skinning weights.
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
    """One posed body in the world: z up, meters, the pelvis at the origin.

    Attributes:
        vertices_m, normals: of the skin.
        points_m: named anatomical points: joint centers, crown, face.
        height_m: stature at rest.
    """

    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    points_m: dict[str, Float[np.ndarray, "3"]]
    height_m: float


@dataclass
class PosedBodies:
    """Several bodies as the body model places them, pelvis and heading as they come.

    Attributes:
        vertices_m, heads_m: of the skin; starts of the bones.
        rest_z_m: heights of the vertices at rest.
    """

    vertices_m: Float[np.ndarray, "body vertex 3"]
    heads_m: Float[np.ndarray, "body bone 3"]
    rest_z_m: Float[np.ndarray, "body vertex"]


def sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Phenotype parameters of anny: adults, older people, and children in one case of five."""
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


@contextmanager
def _one_thread():
    """Sums of floats are then in the same order on every machine with the same processor."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Bodies:
    """The body model, and constant facts of its surface (index arrays and coordinates of the body at rest).

    Attributes:
        faces: triangles, counter-clockwise from outside.
        part, face_part: position in `PARTS`, per vertex and per triangle.
        along: 0 at the start of a limb, 1 at elbow or knee, 2 at wrist or ankle; trunk: 0 at the hips, 1 at the neck.
        hair: positive where hair grows, meters from the hairline.
        cloth_m: coordinates for patterns, meters, running along the limbs.
        eye_m: place of the left eye at rest.
        normals: a function of the vertices, meters.
    """

    def __init__(self):
        model = _load_anny()
        import torch

        self._model = model
        with torch.inference_mode(), _one_thread():
            rest = model()
        self.rest_m = rest["vertices"][0].numpy().astype(np.float64)
        heads = rest["bone_poses"][0, :, :3, 3].numpy().astype(np.float64)
        self.articulation = Articulation(model.bone_labels, model.bone_parents, heads)
        self._bone = {name: i for i, name in enumerate(model.bone_labels)}
        self.eye_m = heads[self._bone["eye.L"]]
        self.faces = model.faces.numpy().astype(np.int32)
        self._parts(model)
        self._coordinates(heads)
        self.normals = Normals(self.faces, len(self.rest_m))
        self._landmarks()

    def _parts(self, model: Any) -> None:
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

    def _coordinates(self, heads: Float[np.ndarray, "bone 3"]) -> None:
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
        # The hairline falls from the forehead over the ears to the nape.
        eye = 0.5 * (at["eye.L"] + at["eye.R"])
        backward = v[:, 1] - eye[1]
        line = eye[2] + np.interp(
            backward, [-0.03, 0.035, 0.075, 0.10, 0.13, 0.2], [0.065, 0.055, 0.0, -0.02, -0.07, -0.075]
        )
        self.hair = np.where(self.part == PARTS.index("head"), v[:, 2] - line, -1.0)

    def _landmarks(self) -> None:
        """Face points as small groups of vertices of the body at rest."""
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

    def posed(self, shapes: Sequence[dict[str, float]], rotations: Float[np.ndarray, "body bone 3 3"]) -> PosedBodies:
        """Bodies of these shapes with these rotations. The last digits depend on how many are posed together."""
        import torch

        deltas = np.zeros((len(shapes), len(self._bone), 4, 4), np.float32)
        deltas[..., :3, :3], deltas[..., 3, 3] = rotations, 1.0
        phenotypes = {name: torch.tensor([shape[name] for shape in shapes]) for name in shapes[0]}
        with torch.inference_mode(), _one_thread():
            out = self._model(pose_parameters=torch.from_numpy(deltas), phenotype_kwargs=phenotypes)
        return PosedBodies(
            vertices_m=out["vertices"].numpy().astype(np.float64),
            heads_m=out["bone_poses"][..., :3, 3].numpy().astype(np.float64),
            rest_z_m=out["rest_vertices"][..., 2].numpy(),
        )

    def bones_of_vertices(self) -> Int[np.ndarray, " vertex"]:
        """The bone that each vertex follows most."""
        strongest = self._model.vertex_bone_weights.numpy().argmax(1)[:, None]
        return np.take_along_axis(self._model.vertex_bone_indices.numpy(), strongest, 1)[:, 0].astype(np.int64)

    def body(self, shape: dict[str, float], pose: Pose, heading: float = 0.0) -> Body:
        """A body of that shape in that pose.

        Args:
            shape: phenotype parameters of anny.
            pose: angles and the lean of the whole body.
            heading: turn about the vertical, degrees; 0 faces -y, positive turns to the person's left.
        """
        return self.placed(self.posed([shape], self.articulation.rotations([pose])), 0, pose, heading)

    def placed(self, posed: PosedBodies, which: int, pose: Pose, heading: float = 0.0) -> Body:
        """One of several posed bodies, leaning as its pose says, turned, and moved to the origin."""
        vertices, heads = posed.vertices_m[which], posed.heads_m[which]
        points = self._points(vertices, heads)
        rest_z = posed.rest_z_m[which]
        x, y, z = np.eye(3)
        whole = axis_rotation(z, np.asarray(heading)) @ axis_rotation(x, np.asarray(pose.pitch))
        whole = whole @ axis_rotation(y, np.asarray(pose.roll))
        center = points["pelvis"]
        vertices = (vertices[: len(self.rest_m)] - center) @ whole.T
        return Body(
            vertices_m=vertices,
            normals=self.normals(vertices),
            points_m={name: whole @ (p - center) for name, p in points.items()},
            height_m=float(rest_z.max() - rest_z.min()),
        )

    def _points(
        self, vertices: Float[np.ndarray, "vertex 3"], heads: Float[np.ndarray, "bone 3"]
    ) -> dict[str, Float[np.ndarray, "3"]]:
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


class CoarseBodies(Bodies):
    """The same bodies with a third of the vertices, for small pictures. Joints and points of the face are the same."""

    def __init__(self, whole: Bodies):
        import torch

        self.articulation, self._bone, self.eye_m = whole.articulation, whole._bone, whole.eye_m
        ends = [whole.rest_m[:, 2].argmin(), whole.rest_m[:, 2].argmax()]
        keep, faces = coarsen(
            whole.rest_m, whole.faces, whole.part, np.array([*whole._regressed["head"][0], *ends]), _COARSE_VERTICES
        )
        self.faces = faces.astype(np.int32)
        self.face_part = whole._weights[keep][faces].sum(1).argmax(1).astype(np.int32)
        self.rest_m, self.cloth_m, self.part = whole.rest_m[keep], whole.cloth_m[keep], whole.part[keep]
        self.along, self.hair = whole.along[keep], whole.hair[keep]
        self.normals = Normals(self.faces, len(self.rest_m))

        # Points of the face are means of many vertices that move with the head: each becomes a vertex of its own.
        model = whole._model
        own = [name for name in whole._regressed if name != "head"]
        means = torch.zeros(len(own), len(whole.rest_m))
        for row, name in zip(means, own, strict=True):
            chosen, weights = whole._regressed[name]
            row[torch.from_numpy(chosen)] = torch.from_numpy(weights).float()
        at = torch.from_numpy(keep)
        bones = torch.zeros(len(own), model.vertex_bone_indices.shape[1], dtype=model.vertex_bone_indices.dtype)
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
        self._regressed = {name: (np.array([len(keep) + k]), np.ones(1)) for k, name in enumerate(own)}
        self._regressed["head"] = (np.searchsorted(keep, whole._regressed["head"][0]), np.full(4, 0.25))


def _read_blend_shape(path: str, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
    """What ``anny.models.full_model.load_blend_shape`` reads from a file of lines "vertex x y z", in decimeters."""
    import torch

    with gzip.open(path, "rt") as lines:  # some have none
        rows = np.fromstring(lines.read(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros(vertices_count, 3, dtype=dtype)
    offsets[torch.from_numpy(rows[:, 0]).long()] = torch.from_numpy(rows[:, 1:]).to(dtype)
    return world_transformation.apply(offsets)


def _load_anny() -> Any:
    """anny with every shape parameter, in single precision; says so where its cache has to be built first."""
    require_packages("rendering people", "anny", "warp")
    initialize_warp()
    import anny
    from anny.models import full_model
    from anny.paths import get_anny_cache_path
    from anny.skinning import warp_skinning

    if not any(get_anny_cache_path().rglob("build_model_data_*")):
        print(
            "Building the body model's cache; this happens once and takes about half a minute.",
            file=sys.stderr,
            flush=True,
        )
    # anny declares its kernel again at every call, which takes longer than running it.
    warp_skinning.get_kernel = lru_cache(maxsize=None)(warp_skinning.get_kernel)
    # anny makes a tensor of each of seven million lines, four fifths of the time that its cache takes.
    read, full_model.load_blend_shape = full_model.load_blend_shape, _read_blend_shape
    try:
        return anny.Anny(phenotypes="all").float().eval()
    finally:
        full_model.load_blend_shape = read


@lru_cache(maxsize=1)
def bodies() -> Bodies:
    """The body model of this process, loaded on first use (half a second; the very first time about half a minute)."""
    return Bodies()


@lru_cache(maxsize=1)
def _coarse_bodies() -> CoarseBodies:
    return CoarseBodies(bodies())


def bodies_for(size: int) -> Bodies:
    """The bodies that pictures of this side in pixels show."""
    return _coarse_bodies() if size <= COARSE_UP_TO else bodies()

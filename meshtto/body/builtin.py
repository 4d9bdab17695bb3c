"""Build the built-in body from anny in SMPL's shape, without downloads or registration; see docs/body.md.

Many adult bodies of anny are posed as a T and measured. Their mean is the template, their ten principal components are
the shape directions (one unit is one standard deviation, as in SMPL), the skinning weights of anny's 104 bones are
summed for the 24 joints, and joints are fitted as weighted means of nearby vertices. The mesh is that of
:mod:`hamipose.synthetic`, so its renderer can draw the body that is to be recovered.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from hamipose.extras import require_packages
from hamipose.synthetic.people.articulation import Articulation
from hamipose.synthetic.people.collisions import draw_pose
from hamipose.synthetic.warp_runtime import initialize_warp
from meshtto.body.arrays import BodyArrays
from meshtto.body.layer import Body, joint_chain
from meshtto.body.regressor_fit import mirror_vertices, sparse_regressor
from meshtto.body.retarget import SMPL_FROM_ANNY, joint_of_bones, joint_rotations, t_pose
from meshtto.joints import H36M17, PICKED_VERTICES, SMPL24, VERTEX_ROWS, mirror_permutation

__all__ = ["VERSION", "People", "build", "sample_people"]

#: Increase when the built-in body changes.
VERSION = 3

_AGES = (18.0, 80.0)
_FITTED = 96  # bodies used to fit regressors: three equations each
_NEAREST = 1000  # candidate vertices per joint

# Position of each joint: the mean of the heads of anny's bones.
_BONES_OF_JOINT = {
    "pelvis": ("upperleg01.L", "upperleg01.R", "spine04", "spine04"),
    "spine1": ("spine04",),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01",),
    "head": ("head",),
    **{
        f"{side}_{joint}": tuple(f"{bone}.{end}" for bone in bones)
        for side, end in (("left", "L"), ("right", "R"))
        for joint, bones in (
            *(("hip", ("upperleg01",)), ("knee", ("lowerleg01",)), ("ankle", ("foot",))),
            *(("foot", ("toe1-1", "toe2-1", "toe3-1", "toe4-1", "toe5-1")), ("collar", ("clavicle",))),
            *(("shoulder", ("upperarm01",)), ("elbow", ("lowerarm01",)), ("wrist", ("wrist",))),
            ("hand", ("finger2-1", "finger3-1", "finger4-1", "finger5-1")),
        )
    },
}
# Points of data sets that are not joints: the mean of points, and the joint that moves it.
_MEANS = {
    "mid_hips": (("left_hip", "right_hip"), "pelvis"),
    "thorax": (("neck", "neck", "left_collar", "right_collar"), "spine3"),
    "spine": (("spine2",), "spine2"),
    "lsp_neck": (("neck", "head"), "neck"),
    "jaw": (("head", "nose"), "head"),
    "crown": (("crown",), "head"),
    "brow": (("crown", "crown", "left_ear", "right_ear"), "head"),
}
_EXTRA = dict(
    zip(
        VERTEX_ROWS,
        ("right_hip", "left_hip", "lsp_neck", "crown", "mid_hips", "thorax", "spine", "jaw", "brow"),
        strict=True,
    )
)
_H36M = {name: name for name in H36M17} | {"pelvis": "mid_hips", "neck": "thorax", "head": "brow"}


class People(NamedTuple):
    """Symmetric bodies in a T-pose, in SMPL's axes, with the pelvis at the origin."""

    vertices_m: Float[np.ndarray, "body vertex 3"]
    joints_m: Float[np.ndarray, "body 24 3"]


def _anny() -> Any:
    require_packages("the built-in body", "anny", "warp")
    initialize_warp()
    import anny
    from anny.paths import get_anny_cache_path

    if not any(get_anny_cache_path().rglob("build_model_data_*")):
        print("Building anny's cache; this happens once and takes about a minute.", file=sys.stderr, flush=True)
    return anny.Anny(phenotypes="all").float().eval()


def sample_people(model: Any, count: int, seed: int) -> People:
    """Draw adults from anny's own shape distribution, which follows the WHO's tables of height and weight.

    Args:
        model: the anny model.
        count: number of bodies.
        seed: random seed.
    """
    from anny.shape_distribution import SimpleShapeDistribution

    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        youngest, oldest = (torch.tensor(age, dtype=model.dtype) for age in _AGES)
        ages = torch.distributions.Uniform(youngest, oldest)
        _, shapes = SimpleShapeDistribution(model, ages).sample(count)
    parts = [_in_a_t(model, {name: v[i : i + 32] for name, v in shapes.items()}) for i in range(0, count, 32)]
    vertices, joints = (np.concatenate(both) for both in zip(*parts, strict=True))
    vertices -= joints[:, :1]
    joints -= joints[:, :1].copy()
    other, flip = mirror_vertices(vertices.mean(0)), np.array([-1, 1, 1])
    sides = list(mirror_permutation(SMPL24))
    return People((vertices + vertices[:, other] * flip) / 2, (joints + joints[:, sides] * flip) / 2)


def _in_a_t(model: Any, shapes: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        heads = model(phenotype_kwargs=shapes)["rest_bone_heads"].double().numpy()
        turns = np.broadcast_to(np.eye(4, dtype=np.float32), (*heads.shape[:2], 4, 4)).copy()
        turns[..., :3, :3] = t_pose(model.bone_labels, heads)
        out = model(pose_parameters=torch.from_numpy(turns), phenotype_kwargs=shapes)
    starts = out["bone_poses"][..., :3, 3].double().numpy()
    number = {name: i for i, name in enumerate(model.bone_labels)}
    joints = np.stack([starts[:, [number[b] for b in _BONES_OF_JOINT[name]]].mean(1) for name in SMPL24], 1)
    return out["vertices"].double().numpy() @ SMPL_FROM_ANNY.T, joints @ SMPL_FROM_ANNY.T


def _shape_space(
    vertices_m: Float[np.ndarray, "body vertex 3"],
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3 10"]]:
    """Return mean and ten principal directions of one standard deviation, positive where bodies get taller."""
    mean = vertices_m.mean(0)
    spread = (vertices_m - mean).reshape(len(vertices_m), -1)
    values, vectors = np.linalg.eigh(spread @ spread.T / (len(spread) - 1))
    best = np.argsort(-values)[:10]
    directions = spread.T @ vectors[:, best] / np.sqrt(len(spread) - 1)
    directions = directions.reshape(*mean.shape, 10)
    top, bottom = mean[:, 1].argmax(), mean[:, 1].argmin()
    return mean, directions * np.where(directions[top, 1] < directions[bottom, 1], -1.0, 1.0)


def _near(at: Float[np.ndarray, "3"], template: Float[np.ndarray, "vertex 3"], count: int) -> Int[np.ndarray, " near"]:
    return np.argsort(((template - at) ** 2).sum(1))[:count]


def _fit_all(
    names: Sequence[str],
    points: dict[str, Float[np.ndarray, "body 3"]],
    surface: Float[np.ndarray, "body vertex 3"],
    rest: dict[str, Float[np.ndarray, "3"]],
    template: Float[np.ndarray, "vertex 3"],
    other: Int[np.ndarray, " vertex"],
) -> Float[np.ndarray, "name vertex"]:
    """Fit a regressor row per name; right rows mirror left ones, central ones are symmetric."""
    rows: dict[str, np.ndarray] = {}
    for name in names:
        if not name.startswith("right_"):
            row = sparse_regressor(points[name], surface, _near(rest[name], template, _NEAREST))
            rows[name] = row if name.startswith("left_") else (row + row[other]) / 2
    for name in names:
        if name.startswith("right_"):
            rows[name] = rows["left_" + name.removeprefix("right_")][other]
    return np.stack([rows[name] for name in names])


def _picked(model: Any, template: Float[np.ndarray, "vertex 3"], joint: Int[np.ndarray, " vertex"]) -> dict[str, int]:
    """Choose the vertices of face, feet and finger tips on the left and center; right ones are mirrored later."""
    import anny

    regressor = anny.KeypointsRegressor.coco(model)
    at = dict(zip(regressor.labels, regressor.regression_weights.double().numpy() @ template, strict=True))
    vertices = {name: int(_near(at[name], template, 1)[0]) for name in PICKED_VERTICES if name in at}
    bone = model.vertex_bone_indices.numpy()[np.arange(len(template)), model.vertex_bone_weights.numpy().argmax(1)]
    for number, tip in enumerate(("thumb", "index", "middle", "ring", "pinky"), 1):
        last = np.flatnonzero(bone == model.bone_labels.index(f"finger{number}-3.L"))
        wrist = template[joint == SMPL24.index("left_wrist")].mean(0)
        vertices[f"left_{tip}"] = int(last[((template[last] - wrist) ** 2).sum(1).argmax()])
    return vertices


def build(people: int = 512, seed: int = 0) -> BodyArrays:
    """Build the built-in body, in a few seconds.

    Args:
        people: number of measured bodies.
        seed: random seed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # fixes the order of floating point sums on machines with the same processor
    try:
        return _build(_anny(), people, seed)
    finally:
        torch.set_num_threads(threads)


def _build(model: Any, people: int, seed: int) -> BodyArrays:
    bodies = sample_people(model, people, seed)
    template, directions = _shape_space(bodies.vertices_m)
    other = mirror_vertices(template)

    of_bone = joint_of_bones(model.bone_labels, model.bone_parents)
    weights = np.zeros((len(template), len(SMPL24)))
    for bones, share in zip(
        model.vertex_bone_indices.numpy().T, model.vertex_bone_weights.double().numpy().T, strict=True
    ):
        np.add.at(weights, (np.arange(len(template)), of_bone[bones]), share)
    weights = (weights + weights[other][:, list(mirror_permutation(SMPL24))]) / 2
    weights /= weights.sum(1, keepdims=True)

    some = People(*(array[:_FITTED] for array in bodies))
    at_rest = {name: some.joints_m[:, k] for k, name in enumerate(SMPL24)}
    means = {name: bodies.joints_m[:, k].mean(0) for k, name in enumerate(SMPL24)}
    regressor = _fit_all(SMPL24, at_rest, some.vertices_m, means, template, other)
    picked = _picked(model, template, weights.argmax(1))
    for name in PICKED_VERTICES:
        if name.startswith("right_"):
            picked[name] = int(other[picked["left_" + name.removeprefix("right_")]])

    arrays = BodyArrays(
        name="builtin",
        gender="neutral",
        template_m=template,
        shape_dirs=directions,
        pose_dirs=np.zeros((len(template), 3, 0)),
        joint_regressor=regressor,
        weights=weights,
        faces=model.faces.numpy().astype(np.int64),
        picked=np.array([picked[name] for name in PICKED_VERTICES]),
        extra_regressor=np.zeros((len(VERTEX_ROWS), len(template))),
        h36m_regressor=np.zeros((len(H36M17), len(template))),
        mean_rotations6d=np.zeros(6 * len(SMPL24)),
        mean_shape=np.zeros(10),
    )
    _fit_posed_rows(arrays, model, other, seed)
    upright = np.broadcast_to(np.eye(3)[:, :2], (len(SMPL24), 3, 2)).copy()
    upright[0] = np.diag([1.0, -1.0, -1.0])[:, :2]  # facing the camera, whose y axis points down
    arrays.mean_rotations6d = upright.reshape(-1)
    return arrays


def _fit_posed_rows(arrays: BodyArrays, model: Any, other: Int[np.ndarray, " vertex"], seed: int) -> None:
    """Fit the regressors on posed vertices to points that move with joints."""
    rng = np.random.default_rng(seed)
    with torch.inference_mode():
        heads = model()["bone_poses"][0, :, :3, 3].double().numpy()
    articulation = Articulation(model.bone_labels, model.bone_parents, heads)
    rotations = torch.from_numpy(
        joint_rotations(articulation, [draw_pose(rng, articulation) for _ in range(_FITTED)], [0.0] * _FITTED)
    )
    shape = torch.from_numpy(rng.standard_normal((_FITTED, 10)).clip(-2.5, 2.5))
    body = Body(arrays).double()
    with torch.inference_mode():
        posed, _, skeleton = body(rotations, shape)
        rest = (body.rest_joints + shape @ body.rest_joint_dirs).view(_FITTED, -1, 3)
        turned, _ = joint_chain(rotations, rest)
        surface = (body.template + shape @ body.shape_dirs).view(_FITTED, 3, -1).mT
    template = arrays.template_m
    named = {name: rest[:, k].numpy() for k, name in enumerate(SMPL24)}
    named |= {name: surface[:, v].numpy() for name, v in zip(PICKED_VERTICES, arrays.picked, strict=True)}
    crown = np.argsort(-template[:, 1])[:8]
    named["crown"] = surface[:, crown].mean(1).numpy()
    carriers = {name: name for name in SMPL24}
    for name, (parts, carrier) in _MEANS.items():
        named[name] = np.mean([named[part] for part in parts], axis=0)
        carriers[name] = carrier
    points, means = {}, {}
    for name in {*_EXTRA.values(), *_H36M.values()}:
        k = SMPL24.index(carriers[name])
        offset = named[name] - rest[:, k].numpy()
        points[name] = skeleton[:, k].numpy() + np.einsum("bij,bj->bi", turned[:, k].numpy(), offset)
        means[name] = named[name].mean(0)
    for table, field in ((_EXTRA, "extra_regressor"), (_H36M, "h36m_regressor")):
        names = list(table.values())
        setattr(arrays, field, _fit_all(names, points, posed.numpy(), means, template, other))

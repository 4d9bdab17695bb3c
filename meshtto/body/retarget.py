"""Convert anny's 104 bones to SMPL's 24 joints: bone assignment, T-pose, and poses as 24 rotations."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hamipose.synthetic.people.articulation import Articulation, axis_rotation, shortest_rotation
from hamipose.synthetic.people.poses import Pose
from meshtto.joints import PARENTS24, SMPL24

__all__ = ["SMPL_FROM_ANNY", "bone_chain", "joint_of_bones", "joint_rotations", "t_pose"]

#: From anny's axes (x to the left, y to the back, z up) to SMPL's (x to the left, y up, z forward).
SMPL_FROM_ANNY = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

_SIDES = (("left", "L"), ("right", "R"))

# The bones at which a joint's body part starts; every other bone belongs to the part of its parent.
_STARTS = {
    "root": "pelvis",
    "spine04": "spine1",
    "spine02": "spine2",
    "spine01": "spine3",
    "neck01": "neck",
    "head": "head",
    **{
        f"{bone}.{end}": f"{side}_{joint}"
        for side, end in _SIDES
        for bone, joint in (
            *(("clavicle", "collar"), ("upperarm01", "shoulder"), ("lowerarm01", "elbow"), ("wrist", "wrist")),
            *((f"finger{k}-1", "hand") for k in range(1, 6)),
            *(("upperleg01", "hip"), ("lowerleg01", "knee"), ("foot", "ankle")),
            *((f"toe{k}-1", "foot") for k in range(1, 6)),
        )
    },
}

# The bone whose rotation the whole part takes: the last one for spine and thigh, where twist accumulates; the first one
# for the forearm, which leaves pronation to the wrist.
_TURNS = {
    "pelvis": "root",
    "spine1": "spine03",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck03",
    "head": "head",
    **{
        f"{side}_{joint}": f"{bone}.{end}"
        for side, end in _SIDES
        for bone, joint in (
            *(("clavicle", "collar"), ("upperarm02", "shoulder"), ("lowerarm01", "elbow"), ("wrist", "wrist")),
            *(("finger3-1", "hand"), ("upperleg02", "hip"), ("lowerleg01", "knee"), ("foot", "ankle")),
            ("toe1-1", "foot"),
        )
    },
}


def joint_of_bones(bones: Sequence[str], parents: Sequence[int]) -> Int[np.ndarray, " bone"]:
    """Return the index in `SMPL24` of the joint that moves each bone."""
    joints: list[int] = []
    for bone, parent in zip(bones, parents, strict=True):
        joints.append(SMPL24.index(_STARTS[bone]) if bone in _STARTS else joints[parent])
    return np.array(joints)


def bone_chain(
    rotations: Float[np.ndarray, "pose bone 3 3"], parents: Sequence[int]
) -> Float[np.ndarray, "pose bone 3 3"]:
    """Convert rotations relative to parents to global rotations, both in world axes."""
    turned = [rotations[:, 0]]
    turned.extend(turned[parent] @ rotations[:, bone] for bone, parent in enumerate(parents) if parent >= 0)
    return np.stack(turned, 1)


def t_pose(bones: Sequence[str], heads: Float[np.ndarray, "body bone 3"]) -> Float[np.ndarray, "body bone 3 3"]:
    """Return the rotation of each bone relative to its parent that results in a T-pose: arms level, legs upright.

    Args:
        bones: names.
        heads: head of each bone in anny's rest pose, in anny's axes.
    """
    number = {name: i for i, name in enumerate(bones)}
    out = np.broadcast_to(np.eye(3), (*heads.shape[:2], 3, 3)).copy()

    def turn(start: str, end: str, direction: Float[np.ndarray, "3"], so_far: Float[np.ndarray, "body 3 3"]):
        """Return the global rotation of a bone in the given direction, with no twist beyond that of `so_far`."""
        way = heads[:, number[end]] - heads[:, number[start]]
        way = (so_far @ (way / np.linalg.norm(way, axis=1, keepdims=True))[..., None])[..., 0]
        # The smallest rotation from `way` to `direction` is the inverse of that from `direction` to `way`.
        return np.swapaxes(shortest_rotation(direction, way), -1, -2) @ so_far

    def chain(steps: Sequence[tuple[str, str]], direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "body 3 3"]:
        world = np.broadcast_to(np.eye(3), (len(heads), 3, 3))
        for start, end in steps:
            after = turn(start, end, direction, world)
            out[:, number[start]] = np.swapaxes(world, -1, -2) @ after
            world = after
        return world

    for end, sign in (("L", 1.0), ("R", -1.0)):
        arm = [f"{bone}.{end}" for bone in ("upperarm01", "lowerarm01", "wrist", "finger3-1")]
        chain(list(itertools.pairwise(arm)), np.array([sign, 0.0, 0.0]))
        leg = [f"{bone}.{end}" for bone in ("upperleg01", "lowerleg01", "foot")]
        shin = chain(list(itertools.pairwise(leg)), np.array([0.0, 0.0, -1.0]))
        out[:, number[f"foot.{end}"]] = np.swapaxes(shin, -1, -2)
    return out


def joint_rotations(
    articulation: Articulation, poses: Sequence[Pose], headings: Sequence[float]
) -> Float[np.ndarray, "pose 24 3 3"]:
    """Convert poses of the synthetic people to rotations of the 24 joints relative to their parents, from the T-pose.

    The root's rotation is relative to the world in SMPL's axes: y up, z in the direction of heading 0.

    Args:
        articulation: the reference body, from which angles are measured.
        poses: poses in joint angles.
        headings: rotation of each body about the vertical axis, in degrees.
    """
    bones, parents = articulation.bones, articulation.parents
    rest = bone_chain(t_pose(bones, articulation.heads[None]), parents)
    world = bone_chain(articulation.rotations(poses), parents) @ np.swapaxes(rest, -1, -2)
    x, y, z = np.eye(3)
    whole = axis_rotation(z, np.array(headings, float)) @ axis_rotation(x, np.array([p.pitch for p in poses], float))
    whole = whole @ axis_rotation(y, np.array([p.roll for p in poses], float))
    turned = whole[:, None] @ world[:, [bones.index(_TURNS[joint]) for joint in SMPL24]]
    turned = SMPL_FROM_ANNY @ turned @ SMPL_FROM_ANNY.T
    local = turned.copy()
    local[:, 1:] = np.swapaxes(turned[:, list(PARENTS24[1:])], -1, -2) @ turned[:, 1:]
    return local

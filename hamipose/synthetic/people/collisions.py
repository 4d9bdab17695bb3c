"""Detect limbs that penetrate each other, modeled as capsules, and draw poses without such collisions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.articulation import Articulation
from hamipose.synthetic.people.poses import Pose, sample_pose

__all__ = ["CAPSULES", "capsule_penetration_m", "draw_pose", "draw_poses", "penetration_m"]

#: Limbs as capsules: (bone at the start, bone at the end, radius in meters) for the reference adult of 1.63 m.
CAPSULES = {
    "belly": ("root", "spine03", 0.125),
    "chest": ("spine03", "spine01", 0.125),
    "head": ("neck03", "crown", 0.095),
    **{f"forearm.{s}": (f"lowerarm01.{s}", f"wrist.{s}", 0.035) for s in "LR"},
    **{f"hand.{s}": (f"wrist.{s}", f"finger3-2.{s}", 0.035) for s in "LR"},
    **{f"upperarm.{s}": (f"upperarm02.{s}", f"lowerarm01.{s}", 0.042) for s in "LR"},
    **{f"thigh.{s}": (f"upperleg02.{s}", f"lowerleg01.{s}", 0.07) for s in "LR"},
    **{f"shin.{s}": (f"lowerleg01.{s}", f"foot.{s}", 0.05) for s in "LR"},
    **{f"foot.{s}": (f"foot.{s}", f"toe3-1.{s}", 0.035) for s in "LR"},
}
_PAIRS = [
    *((f"{limb}.{s}", trunk) for limb in ("forearm", "hand") for s in "LR" for trunk in ("belly", "chest", "head")),
    *((f"{limb}.{s}", f"thigh.{t}") for limb in ("forearm", "hand") for s in "LR" for t in "LR"),
    *((f"{limb}.{s}", f"shin.{t}") for limb in ("forearm", "hand") for s in "LR" for t in "LR"),
    *((f"{a}.L", f"{b}.R") for a in ("forearm", "hand", "upperarm") for b in ("forearm", "hand", "upperarm")),
    *((f"{a}.L", f"{b}.R") for a in ("thigh", "shin", "foot") for b in ("thigh", "shin", "foot")),
    *((f"upperarm.{s}", "head") for s in "LR"),
    *((f"thigh.{s}", "chest") for s in "LR"),
    *((f"shin.{s}", part) for s in "LR" for part in ("belly", "chest", "head")),
]  # fmt: skip
_STEPS = np.linspace(0.0, 1.0, 7)
_FREE_M = 0.015


def penetration_m(articulation: Articulation, poses: Sequence[Pose]) -> Float[np.ndarray, " pose"]:
    """Return the penetration depth of the reference body's limbs, summed over pairs, in meters."""
    heads = articulation.joints(articulation.rotations(poses))
    index = {name: i for i, name in enumerate(articulation.bones)}
    at = {name: heads[:, i] for name, i in index.items()}
    at["crown"] = at["head"] + 1.6 * (at["head"] - at["neck02"])
    return capsule_penetration_m(
        np.stack([at[a] for a, _, _ in CAPSULES.values()], 1), np.stack([at[b] for _, b, _ in CAPSULES.values()], 1)
    )


def capsule_penetration_m(
    start_m: Float[np.ndarray, "pose capsule 3"], end_m: Float[np.ndarray, "pose capsule 3"]
) -> Float[np.ndarray, " pose"]:
    """Return the penetration depth of capsules, summed over the pairs of limbs that should not touch, in meters.

    Args:
        start_m: starts of the axes of `CAPSULES`, in their order.
        end_m: ends of the axes.
    """
    names = list(CAPSULES)
    share = _STEPS[:, None]
    points = (1 - share) * start_m[:, :, None] + share * end_m[:, :, None]  # pose, capsule, step, 3
    radius = np.array([r for _, _, r in CAPSULES.values()])
    first = np.array([names.index(a) for a, _ in _PAIRS])
    second = np.array([names.index(b) for _, b in _PAIRS])
    x, y, z = np.moveaxis(points, -1, 0)  # separate coordinates are faster than rows of three
    dx, dy, dz = (axis[:, first, :, None] - axis[:, second, None, :] for axis in (x, y, z))
    distance = np.sqrt((dx * dx + dy * dy + dz * dz).min((-1, -2)))
    return np.maximum(radius[first] + radius[second] - distance, 0.0).sum(-1)


def draw_poses(
    rngs: Sequence[np.random.Generator],
    articulation: Articulation,
    families: Sequence[str | None],
    tries: int = 5,
) -> list[Pose]:
    """Draw one pose per generator: the first without collision, otherwise the one with the smallest penetration.

    Args:
        rngs: random generator of each pose.
        articulation: articulation of the body.
        families: family of each pose; None for the mixture of all.
        tries: maximum number of poses to draw for each result.
    """
    poses = [sample_pose(rng, family) for rng, family in zip(rngs, families, strict=True)]
    depth = penetration_m(articulation, poses)
    for _ in range(tries - 1):
        colliding = np.flatnonzero(depth >= _FREE_M).tolist()
        if not colliding:
            break
        others = [sample_pose(rngs[i], poses[i].family) for i in colliding]
        for i, other, other_depth in zip(colliding, others, penetration_m(articulation, others), strict=True):
            if other_depth < depth[i]:
                poses[i], depth[i] = other, other_depth
    return poses


def draw_pose(
    rng: np.random.Generator, articulation: Articulation, *, family: str | None = None, tries: int = 5
) -> Pose:
    """Draw one pose; see `draw_poses`."""
    return draw_poses([rng], articulation, [family], tries)[0]

"""Body poses as joint angles, and a sampler of poses within the joint limits."""

from dataclasses import dataclass

import numpy as np

from hamipose.synthetic.people.arm_poses import ARM_POSES
from hamipose.synthetic.people.joint_limits import ARM_LIMITS, LEG_LIMITS, TRUNK_LIMITS, Ranges, clamp_to_limits
from hamipose.synthetic.people.pose_distributions import DEFAULT_RANGES, FAMILIES

__all__ = ["Pose", "draw_family", "sample_pose"]


@dataclass
class Pose:
    """Pose of a body.

    Attributes:
        family: pose family.
        angles: all angles of `joint_limits.LIMITS`, in degrees.
        pitch, roll: rotation of the whole body in degrees, forward and to its left.
        airborne: whether the body does not touch the ground.
        seated: whether the scene needs a seat under the pelvis.
    """

    family: str
    angles: dict[str, float]
    pitch: float = 0.0
    roll: float = 0.0
    airborne: bool = False
    seated: bool = False


def _draw(rng: np.random.Generator, ranges: Ranges, names: Ranges) -> dict[str, float]:
    """Draw the named angles from their ranges, with additional noise."""
    low, high = np.array([ranges.get(name, DEFAULT_RANGES.get(name, (0.0, 0.0))) for name in names], float).T
    angles = rng.uniform(low, high) + 4.0 * rng.standard_normal(len(low))
    return dict(zip(names, angles.tolist(), strict=True))


def _draw_arm(rng: np.random.Generator, arm_poses: tuple[str, ...]) -> dict[str, float]:
    """Draw the angles of an arm from one of the arm poses."""
    return _draw(rng, ARM_POSES[arm_poses[rng.integers(len(arm_poses))]], ARM_LIMITS)


def draw_family(rng: np.random.Generator, names: list[str]) -> str:
    """Draw one of the named families by its weight."""
    weights = np.array([FAMILIES[n].weight for n in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def sample_pose(rng: np.random.Generator, family: str | None = None) -> Pose:
    """Draw a pose of a family; default: of the mixture of all `FAMILIES`."""
    chosen = draw_family(rng, list(FAMILIES)) if family is None else family
    kind = FAMILIES[chosen]
    arm_poses = kind.arms or tuple(ARM_POSES)

    leg, other = _draw(rng, kind.leg, LEG_LIMITS), _draw(rng, kind.other_leg or kind.leg, LEG_LIMITS)
    if kind.other_leg is None and rng.random() < kind.alike:
        other = {name: angle + 4.0 * rng.standard_normal() for name, angle in leg.items()}
    arm, other_arm = _draw_arm(rng, arm_poses), _draw_arm(rng, arm_poses)
    if rng.random() < 0.2:
        other_arm = {name: angle + 5.0 * rng.standard_normal() for name, angle in arm.items()}

    angles = _draw(rng, kind.trunk, TRUNK_LIMITS)
    sides = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    for side, limb in zip(sides, (leg, other), strict=True):
        angles |= {f"{side}_{name}": angle for name, angle in limb.items()}
    for side, limb in zip(sides, (arm, other_arm), strict=True):
        angles |= {f"{side}_{name}": angle for name, angle in limb.items()}

    pitch, roll = rng.uniform(*kind.pitch), rng.uniform(*kind.roll)
    if chosen == "lying":
        pitch = (-88.0, 88.0, 0.0, 0.0)[int(rng.integers(4))] + rng.uniform(-5, 5)
        roll = (0.0 if abs(pitch) > 45 else rng.choice([-88.0, 88.0])) + rng.uniform(-12, 12)
    return Pose(
        family=chosen,
        angles=clamp_to_limits(angles),
        pitch=float(pitch),
        roll=float(roll),
        airborne=kind.airborne and bool(rng.random() < 0.8),
        seated=kind.seated,
    )

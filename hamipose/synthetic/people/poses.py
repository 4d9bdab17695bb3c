"""Poses as joint angles in anatomical terms: a sampler that stays within what joints allow.

Every angle is in degrees and 0 is standing upright, arms hanging, palms to the thighs. Left and right limbs use the
same signs: flexion bends a limb the way it bends, abduction leads away from the body.
"""

from dataclasses import dataclass

import numpy as np

from hamipose.synthetic.people.pose_distributions import ARM, ARMS, FAMILIES, LEG, LIMITS, REST, TRUNK, Ranges

__all__ = ["Pose", "draw_family", "sample_pose", "within_limits"]


@dataclass
class Pose:
    """One pose.

    Attributes:
        family: the family it was drawn from.
        angles: every angle of `LIMITS`, in degrees.
        pitch, roll: of the whole body, degrees: forward, to its left.
        airborne: no contact with the ground.
        seated: something to sit on belongs under the pelvis.
    """

    family: str
    angles: dict[str, float]
    pitch: float = 0.0
    roll: float = 0.0
    airborne: bool = False
    seated: bool = False


def within_limits(angles: dict[str, float]) -> dict[str, float]:
    """The nearest pose within `LIMITS` and within what joints allow together.

    Muscles that cross two joints and the shape of the shoulder couple the limits: a straight knee keeps the hip from
    full flexion (hamstrings), an arm goes back only a little, and across the chest only so high.
    """
    a = {name: float(min(max(angles[name], low), high)) for name, (low, high) in LIMITS.items()}
    for side in ("left", "right"):
        knee, hip = a[f"{side}_knee_flexion"], f"{side}_hip_flexion"
        a[hip] = min(a[hip], 112.0 + 0.3 * knee)
        if a[hip] < 0:  # the front of the thigh is stretched
            a[f"{side}_knee_flexion"] = min(knee, 125.0 + a[hip])
        plane, elevation = a[f"{side}_shoulder_plane"], f"{side}_shoulder_elevation"
        if plane < 0:
            a[elevation] = min(a[elevation], 150.0 + 1.5 * plane)
        if plane > 90:
            a[elevation] = min(a[elevation], 160.0 - 1.6 * (plane - 90.0))
            a[elevation] = max(a[elevation], 30.0)
    return a


def _draw(rng: np.random.Generator, ranges: Ranges, names: Ranges) -> dict[str, float]:
    low, high = np.array([ranges.get(name, REST.get(name, (0.0, 0.0))) for name in names], float).T
    drawn = rng.uniform(low, high) + 4.0 * rng.standard_normal(len(low))
    return dict(zip(names, drawn.tolist(), strict=True))


def _arm(rng: np.random.Generator, styles: tuple[str, ...]) -> dict[str, float]:
    return _draw(rng, ARMS[styles[rng.integers(len(styles))]], ARM)


def draw_family(rng: np.random.Generator, names: list[str]) -> str:
    """One of these families, each as often among them as its weight says."""
    weights = np.array([FAMILIES[n].weight for n in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def sample_pose(rng: np.random.Generator, family: str | None = None) -> Pose:
    """Draws a pose from the mixture of `FAMILIES`, or from one of them."""
    chosen = draw_family(rng, list(FAMILIES)) if family is None else family
    kind = FAMILIES[chosen]
    styles = kind.arms or tuple(ARMS)

    leg, other = _draw(rng, kind.leg, LEG), _draw(rng, kind.other_leg or kind.leg, LEG)
    if kind.other_leg is None and rng.random() < kind.alike:
        other = {name: angle + 4.0 * rng.standard_normal() for name, angle in leg.items()}
    arm, other_arm = _arm(rng, styles), _arm(rng, styles)
    if rng.random() < 0.2:
        other_arm = {name: angle + 5.0 * rng.standard_normal() for name, angle in arm.items()}

    angles = _draw(rng, kind.trunk, TRUNK)
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
        angles=within_limits(angles),
        pitch=float(pitch),
        roll=float(roll),
        airborne=kind.airborne and bool(rng.random() < 0.8),
        seated=kind.seated,
    )

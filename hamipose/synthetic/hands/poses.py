"""Hand poses as joint angles: limits, pose families such as fists and pinches, and a sampler.

All angles are in degrees. A finger is straight at 0 and flexes towards the palm; positive spread moves it away from the
middle finger. The thumb's `radial` angle moves it away from the index finger in the plane of the palm, its `opposition`
in front of the palm; both are 0 in the rest pose of the body model, in which the thumb is held far out.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "FINGERS",
    "HAND_FAMILIES",
    "HAND_LIMITS",
    "HandPose",
    "clamp_to_hand_limits",
    "draw_hand_family",
    "sample_hand_pose",
]

Range = tuple[float, float]

#: Fingers with three phalanges, in the order of the body model's bones (finger 2 to finger 5).
FINGERS = ("index", "middle", "ring", "little")

_FINGER: dict[str, Range] = {"mcp": (-20.0, 90.0), "pip": (0.0, 108.0), "dip": (-5.0, 75.0), "spread": (-8.0, 18.0)}
_THUMB: dict[str, Range] = {
    "radial": (-42.0, 12.0),
    "opposition": (-40.0, 45.0),
    "mcp": (-10.0, 55.0),
    "ip": (-20.0, 75.0),
}
#: Limits of all angles.
HAND_LIMITS: dict[str, Range] = {
    "wrist_flexion": (-55.0, 60.0),
    "wrist_deviation": (-18.0, 30.0),  # towards the little finger
    **{f"thumb_{name}": limits for name, limits in _THUMB.items()},
    **{f"{finger}_{name}": limits for finger in FINGERS for name, limits in _FINGER.items()},
}

# Angle ranges of the states of a finger (base, middle joint) and of the thumb (radial, opposition, base, end joint).
_STATES: dict[str, tuple[Range, Range]] = {
    "straight": ((-12.0, 14.0), (0.0, 12.0)),
    "relaxed": ((8.0, 38.0), (12.0, 45.0)),
    "bent": ((35.0, 70.0), (25.0, 80.0)),
    "curled": ((68.0, 88.0), (86.0, 104.0)),
    "hooked": ((-8.0, 22.0), (65.0, 100.0)),
    "any": (_FINGER["mcp"], _FINGER["pip"]),
}
_THUMBS: dict[str, tuple[Range, Range, Range, Range]] = {
    "out": ((-14.0, 10.0), (-38.0, 0.0), (-8.0, 12.0), (-18.0, 12.0)),
    "relaxed": ((-34.0, -8.0), (-20.0, 14.0), (0.0, 25.0), (0.0, 35.0)),
    "across": ((-42.0, -12.0), (0.0, 45.0), (10.0, 50.0), (10.0, 70.0)),
    "opposed": ((-32.0, -4.0), (0.0, 38.0), (0.0, 34.0), (0.0, 50.0)),
    "any": (_THUMB["radial"], _THUMB["opposition"], _THUMB["mcp"], _THUMB["ip"]),
}


@dataclass(frozen=True)
class _Family:
    weight: float
    thumb: tuple[str, ...]  # states to choose from
    fingers: tuple[tuple[str, ...], ...]  # states of index, middle, ring and little finger
    spread: Range = (-2.0, 6.0)


def _same(*states: str) -> tuple[tuple[str, ...], ...]:
    return (states,) * 4


_UP, _DOWN = ("straight",), ("curled",)
#: Pose families by the name in the records.
HAND_FAMILIES: dict[str, _Family] = {
    "relaxed": _Family(1.6, ("relaxed", "out"), _same("relaxed")),
    "open": _Family(1.4, ("out", "relaxed"), _same("straight"), (2.0, 14.0)),
    "flat": _Family(0.6, ("relaxed", "across"), _same("straight"), (-6.0, 1.0)),
    "fist": _Family(1.2, ("across", "relaxed"), _same("curled"), (-3.0, 2.0)),
    "thumb_up": _Family(0.5, ("out",), _same("curled"), (-3.0, 2.0)),
    "pointing": _Family(1.2, ("across", "relaxed", "out"), (_UP, _DOWN, _DOWN, _DOWN), (-3.0, 4.0)),
    "two": _Family(0.7, ("across", "opposed"), (_UP, _UP, _DOWN, _DOWN), (0.0, 14.0)),
    "three": _Family(0.5, ("across", "out"), (_UP, _UP, _UP, _DOWN), (0.0, 10.0)),
    "four": _Family(0.4, ("across",), _same("straight"), (0.0, 12.0)),
    "horns": _Family(0.4, ("across", "out"), (_UP, _DOWN, _DOWN, _UP), (-2.0, 10.0)),
    "counting": _Family(1.0, ("across", "out", "opposed"), _same("straight", "curled"), (-2.0, 10.0)),
    "pinch": _Family(1.2, ("opposed",), (("bent",), *(("relaxed", "straight", "bent"),) * 3)),
    "grasp": _Family(1.2, ("opposed", "relaxed"), _same("bent")),
    "claw": _Family(0.5, ("out", "relaxed"), _same("hooked"), (0.0, 10.0)),
    "mixed": _Family(1.5, ("any",), _same("straight", "relaxed", "bent", "curled", "hooked", "any"), (-4.0, 12.0)),
}


@dataclass
class HandPose:
    """Pose of a hand.

    Attributes:
        family: pose family.
        angles: all angles of `HAND_LIMITS`, in degrees.
        thumb: state of the thumb.
    """

    family: str
    angles: dict[str, float]
    thumb: str = "relaxed"


def clamp_to_hand_limits(angles: dict[str, float]) -> dict[str, float]:
    """Return the nearest angles within `HAND_LIMITS` and within the coupled limits of the joints.

    A finger that is bent at its base cannot be spread, because the ligaments of that joint are taut; and the last joint
    follows the middle one, because one tendon bends both.
    """
    a = {name: float(min(max(angles[name], low), high)) for name, (low, high) in HAND_LIMITS.items()}
    for finger in FINGERS:
        a[f"{finger}_spread"] *= 1.0 - max(a[f"{finger}_mcp"], 0.0) / 90.0
        middle, last = a[f"{finger}_pip"], f"{finger}_dip"
        a[last] = float(min(max(a[last], 0.3 * middle - 12.0), 0.75 * middle + 12.0))
    return a


def draw_hand_family(rng: np.random.Generator, names: list[str]) -> str:
    """Draw one of the named families by its weight."""
    weights = np.array([HAND_FAMILIES[name].weight for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def sample_hand_pose(rng: np.random.Generator, family: str | None = None) -> HandPose:
    """Draw a pose of a family; default: of the mixture of all `HAND_FAMILIES`."""
    chosen = draw_hand_family(rng, list(HAND_FAMILIES)) if family is None else family
    kind = HAND_FAMILIES[chosen]
    angles = {
        "wrist_flexion": rng.normal(-5, 18),
        "wrist_deviation": rng.normal(4, 9),
    }
    thumb = kind.thumb[rng.integers(len(kind.thumb))]
    for name, limits in zip(_THUMB, _THUMBS[thumb], strict=True):
        angles[f"thumb_{name}"] = rng.uniform(*limits)
    shared = {state: [rng.uniform(*limits) for limits in _STATES[state]] for state in _STATES}
    spread = rng.uniform(*kind.spread)
    for finger, states in zip(FINGERS, kind.fingers, strict=True):
        state = states[rng.integers(len(states))]
        deviation = 22.0 if state == "any" else 6.0  # neighbors of one state move similarly
        mcp, pip = (v + deviation * rng.standard_normal() for v in shared[state])
        angles |= {f"{finger}_mcp": mcp, f"{finger}_pip": pip, f"{finger}_dip": rng.uniform(0.25, 0.7) * pip}
        outer = {"index": 1.0, "middle": 0.0, "ring": 0.6, "little": 1.2}[finger]
        angles[f"{finger}_spread"] = outer * spread + 1.5 * rng.standard_normal()
    return HandPose(chosen, clamp_to_hand_limits(angles), thumb)

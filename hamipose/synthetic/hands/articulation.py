"""Convert joint angles of a hand to rotations of bones and to joint positions; detect collisions of fingers."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.hands.poses import FINGERS, HandPose, sample_hand_pose
from hamipose.synthetic.people.articulation import axis_rotation

__all__ = ["HandArticulation", "draw_hand_pose"]

Vector = Float[np.ndarray, "3"]

#: Moving bones of the left hand; finger 1 is the thumb.
_BONES = ("wrist.L", *(f"finger{f}-{j}.L" for f in range(1, 6) for j in (1, 2, 3)))
# Half the thickness of each phalanx and of the palm of the reference adult, in meters.
_RADIUS_M = {"thumb": (0.0105, 0.0095, 0.0085), "finger": (0.0085, 0.0075, 0.0065)}
_PALM_RADIUS_M = 0.0115
_STEPS = np.linspace(0.0, 1.0, 5)


def _unit(v: Vector) -> Vector:
    return v / np.linalg.norm(v)


def _across(v: Vector, axis: Vector) -> Vector:
    """Return the normalized component of v that is orthogonal to a unit vector."""
    return _unit(v - (v @ axis) * axis)


class HandArticulation:
    """Joint axes of the left hand, computed from the body at rest.

    Args:
        bones: name of each bone.
        heads: start of each bone, in meters.
        tips: ends of thumb, index, middle, ring and little finger, in meters.
    """

    def __init__(self, bones: Sequence[str], heads: Float[np.ndarray, "bone 3"], tips: Float[np.ndarray, "5 3"]):
        at = {name: heads[i] for i, name in enumerate(bones)}
        self._at = at
        self._number = {name: list(bones).index(name) for name in _BONES}
        self.count = len(bones)
        self._tips = tips
        wrist, index, little = at["wrist.L"], at["finger2-1.L"], at["finger5-1.L"]
        self._hand = _unit(at["finger3-1.L"] - wrist)
        # Normal that points out of the palm of a left hand: little × index, relative to the wrist.
        self._palm = _across(np.cross(little - wrist, index - wrist), self._hand)
        self._side = np.cross(self._hand, self._palm)  # rotation about it bends towards the palm
        self._flex: dict[int, Vector] = {}
        self._rest: dict[tuple[int, int], float] = {}
        for finger in range(2, 6):
            before, base = at[f"metacarpal{finger - 1}.L"], at[f"finger{finger}-1.L"]
            directions = [_unit(base - before), *(_unit(b - a) for a, b in self._segments(finger))]
            # Bent fingers stay in the plane through their base and the palm's normal, so they point to the wrist.
            axis = np.cross(_across(directions[1], self._palm), self._palm)
            self._flex[finger] = axis
            for joint in (1, 2, 3):
                self._rest[finger, joint] = _signed_angle(directions[joint - 1], directions[joint], axis)
        (a, b), (c, _), _ = self._segments(1)
        thumb = _unit(b - a)
        # The thumb bends towards the base of the little finger.
        self._thumb = np.cross(thumb, _across(little - c, thumb))
        self._flex[1] = self._thumb

    def _segments(self, finger: int) -> list[tuple[Vector, Vector]]:
        """Return the ends of the three phalanges at rest; the first one of the thumb is its metacarpal."""
        points = [self._at[f"finger{finger}-{j}.L"] for j in (1, 2, 3)] + [self._tips[finger - 1]]
        return list(itertools.pairwise(points))

    def rotations(self, poses: Sequence[HandPose]) -> Float[np.ndarray, "pose bone 3 3"]:
        """Return the rotation of each bone relative to its parent."""
        out = np.broadcast_to(np.eye(3), (len(poses), self.count, 3, 3)).copy()

        def angle(name: str) -> Float[np.ndarray, " pose"]:
            return np.array([pose.angles[name] for pose in poses], float)

        def put(bone: str, rotation: Float[np.ndarray, "pose 3 3"]) -> None:
            out[:, self._number[bone]] = rotation

        bend = axis_rotation(self._side, angle("wrist_flexion"))
        put("wrist.L", bend @ axis_rotation(self._palm, -angle("wrist_deviation")))
        # A positive rotation about the normal out of a left palm moves a finger towards the thumb.
        for number, finger in enumerate(FINGERS, start=2):
            sign = 1.0 if finger == "index" else -1.0
            flex = self._flex[number]
            spread = axis_rotation(self._palm, sign * angle(f"{finger}_spread"))
            put(f"finger{number}-1.L", spread @ axis_rotation(flex, angle(f"{finger}_mcp") - self._rest[number, 1]))
            for joint, name in ((2, "pip"), (3, "dip")):
                put(
                    f"finger{number}-{joint}.L",
                    axis_rotation(flex, angle(f"{finger}_{name}") - self._rest[number, joint]),
                )
        opposed = axis_rotation(self._hand, angle("thumb_opposition"))
        put("finger1-1.L", opposed @ axis_rotation(self._palm, angle("thumb_radial")))
        put("finger1-2.L", axis_rotation(self._thumb, angle("thumb_mcp")))
        put("finger1-3.L", axis_rotation(self._thumb, angle("thumb_ip")))
        return out

    def chains(self, rotations: Float[np.ndarray, "pose bone 3 3"]) -> Float[np.ndarray, "pose 5 4 3"]:
        """Return the joints of thumb to little finger, from base to tip, of the body that defines the axes."""
        wrist, turn = self._at["wrist.L"], rotations[:, self._number["wrist.L"]]
        fingers = []
        for finger in range(1, 6):
            points = [self._at[f"finger{finger}-{j}.L"] for j in (1, 2, 3)] + [self._tips[finger - 1]]
            placed, turned = [wrist + turn @ (points[0] - wrist)], turn
            for joint in (1, 2, 3):
                turned = turned @ rotations[:, self._number[f"finger{finger}-{joint}.L"]]
                placed.append(placed[-1] + turned @ (points[joint] - points[joint - 1]))
            fingers.append(np.stack(placed, 1))
        return np.stack(fingers, 1)

    def penetration_m(self, poses: Sequence[HandPose]) -> Float[np.ndarray, " pose"]:
        """Return the penetration depth, summed over pairs of phalanges and pairs of phalanx and palm, in meters."""
        rotations = self.rotations(poses)
        chains = self.chains(rotations)
        wrist, turn = self._at["wrist.L"], rotations[:, self._number["wrist.L"]]
        starts, ends, radius, finger_of, level = [], [], [], [], []
        for finger in range(5):
            for joint in range(3):
                starts.append(chains[:, finger, joint])
                ends.append(chains[:, finger, joint + 1])
                radius.append(_RADIUS_M["finger" if finger else "thumb"][joint])
                finger_of.append(finger)
                level.append(joint)
        for finger in range(2, 6):
            low = self._at[f"metacarpal{finger - 1}.L"]
            starts.append(wrist + turn @ (low - wrist))
            ends.append(chains[:, finger - 1, 0])
            radius.append(_PALM_RADIUS_M)
            finger_of.append(9)
            level.append(-1)
        a, b = np.stack(starts, 1), np.stack(ends, 1)
        points = a[:, :, None] + _STEPS[:, None] * (b - a)[:, :, None]
        pairs = [
            (i, j)
            for i in range(len(starts))
            for j in range(i)
            if finger_of[i] != finger_of[j] and not (finger_of[i] == 9 and level[j] == 0)
        ]
        first, second = np.array(pairs).T
        gap = np.linalg.norm(points[:, first, :, None] - points[:, second, None, :], axis=-1).min((-1, -2))
        thick = np.array(radius)
        return np.maximum(thick[first] + thick[second] - gap, 0.0).sum(-1)


def _signed_angle(a: Vector, b: Vector, axis: Vector) -> float:
    """Return the angle from a to b about an axis, in degrees."""
    a, b = _across(a, axis), _across(b, axis)
    return float(np.rad2deg(np.arctan2(np.cross(a, b) @ axis, a @ b)))


def draw_hand_pose(
    rng: np.random.Generator, articulation: HandArticulation, *, family: str | None = None, tries: int = 32
) -> HandPose:
    """Draw a pose without collisions: of `tries` poses of one family, the one with the lowest cost.

    The cost is the penetration depth. A thumb across the fingers should touch the middle finger (or the palm if that
    finger is straight), and the thumb of a pinch the tip of the index finger; their distance is added to the cost.
    """
    first = sample_hand_pose(rng, family)
    poses = [first, *(sample_hand_pose(rng, first.family) for _ in range(tries - 1))]
    poses = [p for p in poses if p.thumb == first.thumb]
    cost = articulation.penetration_m(poses)
    chains = articulation.chains(articulation.rotations(poses))
    if first.family == "pinch":
        distance = np.linalg.norm(chains[:, 0, 3] - chains[:, 1, 3], axis=1)
        return poses[int((cost + np.abs(distance - 0.012)).argmin())]
    if first.thumb == "across":
        bent = np.array([p.angles["middle_pip"] > 60 for p in poses])
        over = np.where(bent[:, None], chains[:, 2, 2], chains[:, 3, 0])
        distance = np.linalg.norm(chains[:, 0, 3] - over, axis=1)
        return poses[int((cost + 0.5 * np.abs(distance - 0.018)).argmin())]
    free = np.flatnonzero(cost < 0.006)
    return poses[int(free[0]) if len(free) else int(cost.argmin())]

"""Convert joint angles to rotations of the body model's bones and to joint positions.

Axes of anny's body at rest: x to the person's left, y to the back, z up; the person faces -y. The rotation of each bone
is given in these axes, relative to its parent (anny's ``local-ref``), so a chain of bones is a product of rotations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.poses import Pose

__all__ = ["Articulation", "axis_rotation", "shortest_rotation"]

_SIDES = {"left": ("L", 1.0), "right": ("R", -1.0)}
_SPINE = {"spine05": 0.15, "spine04": 0.25, "spine03": 0.25, "spine02": 0.2, "spine01": 0.15}
_NECK = {"neck01": 0.2, "neck02": 0.2, "neck03": 0.2, "head": 0.4}
_ONE = np.eye(3)
_X, _Y, _Z = _ONE


def axis_rotation(
    axis: Float[np.ndarray, "3"], degrees: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the rotation about a unit axis (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)[..., None, None]
    return _ONE + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def shortest_rotation(
    start: Float[np.ndarray, "3"], end: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the smallest rotation from one unit vector to another; they must not be opposite."""
    v = np.cross(start, end)
    zero = np.zeros_like(v[..., 0])
    cross = np.stack([zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero], -1)
    cross = cross.reshape(*v.shape[:-1], 3, 3)
    return np.eye(3) + cross + cross @ cross / (1.0 + end @ start)[..., None, None]


def _unit(v: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return v / np.linalg.norm(v)


def _angle(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    return float(np.rad2deg(np.arccos(np.clip(_unit(a) @ _unit(b), -1, 1))))


class _Arm(NamedTuple):
    """Axes of an arm at rest; `hanging` rotates the upper arm down, `elbow` is the flexion of the elbow in degrees."""

    upper: Float[np.ndarray, "3"]
    fore: Float[np.ndarray, "3"]
    hanging: Float[np.ndarray, "3 3"]
    hinge: Float[np.ndarray, "3"]
    elbow: float
    across: Float[np.ndarray, "3"]


class _Leg(NamedTuple):
    """Axes of a leg at rest; `knee` is the flexion of the knee in degrees."""

    thigh: Float[np.ndarray, "3"]
    hinge: Float[np.ndarray, "3"]
    knee: float


class Articulation:
    """Joint axes, computed from the body at rest.

    Args:
        bones: name of each bone.
        parents: index of each bone's parent; negative for the root.
        heads: start of each bone in the reference pose, in meters.
    """

    def __init__(self, bones: Sequence[str], parents: Sequence[int], heads: Float[np.ndarray, "bone 3"]):
        self.bones, self.parents, self.heads = list(bones), list(parents), heads
        self._at = {name: heads[i] for i, name in enumerate(bones)}
        self._number = {name: i for i, name in enumerate(bones)}
        self._arms = {end: self._arm_axes(end) for end, _ in _SIDES.values()}
        self._legs = {end: self._leg_axes(end) for end, _ in _SIDES.values()}

    def _along(self, a: str, b: str) -> Float[np.ndarray, "3"]:
        return _unit(self._at[b] - self._at[a])

    def _arm_axes(self, end: str) -> _Arm:
        upper = self._along(f"upperarm01.{end}", f"lowerarm01.{end}")
        fore = self._along(f"lowerarm01.{end}", f"wrist.{end}")
        knuckles = _unit(self._at[f"finger5-1.{end}"] - self._at[f"finger2-1.{end}"])
        hand = self._along(f"wrist.{end}", f"finger3-1.{end}")
        across = _unit(knuckles - (knuckles @ hand) * hand)
        bend = np.cross(
            self._along(f"finger3-1.{end}", f"finger3-2.{end}"), self._along(f"finger3-2.{end}", f"finger3-3.{end}")
        )
        across = across * np.sign(bend @ across)
        hinge = _unit(np.cross(upper, fore))
        return _Arm(upper, fore, shortest_rotation(upper, -_Z), hinge, _angle(upper, fore), across)

    def _leg_axes(self, end: str) -> _Leg:
        thigh = self._along(f"upperleg01.{end}", f"lowerleg01.{end}")
        shin = self._along(f"lowerleg01.{end}", f"foot.{end}")
        return _Leg(thigh, _unit(_X - (_X @ thigh) * thigh), _angle(thigh, shin))

    def rotations(self, poses: Sequence[Pose]) -> Float[np.ndarray, "pose bone 3 3"]:
        """Return the rotation of each bone relative to its parent, without the rotation of the whole body."""
        out = np.broadcast_to(np.eye(3), (len(poses), len(self.bones), 3, 3)).copy()

        def angle(name: str) -> Float[np.ndarray, " pose"]:
            return np.array([pose.angles[name] for pose in poses], float)

        def put(bone: str, rotation: Float[np.ndarray, "pose 3 3"]) -> None:
            out[:, self._number[bone]] = rotation

        for part, chain in (("trunk", _SPINE), ("neck", _NECK)):
            flexion, bend, twist = angle(f"{part}_flexion"), angle(f"{part}_bend"), angle(f"{part}_twist")
            for bone, share in chain.items():
                turn = axis_rotation(_Z, share * twist) @ axis_rotation(_Y, share * bend)
                put(bone, turn @ axis_rotation(_X, share * flexion))
        for side, (end, sign) in _SIDES.items():
            limb = {n.removeprefix(f"{side}_"): angle(n) for n in poses[0].angles if n.startswith(side)}
            self._rotate_arm(put, end, sign, limb)
            self._rotate_leg(put, end, sign, limb)
        return out

    def _rotate_arm(self, put, end: str, sign: float, a: dict) -> None:
        upper, fore, hanging, hinge, elbow, across = self._arms[end]
        elevation, plane = np.deg2rad(a["shoulder_elevation"]), np.deg2rad(a["shoulder_plane"])
        direction = np.stack(
            [sign * np.sin(elevation) * np.cos(plane), -np.sin(elevation) * np.sin(plane), -np.cos(elevation)], -1
        )
        swing = shortest_rotation(-_Z, direction) @ hanging
        # The shoulder blade moves along: the collar bone rises and moves forward with the arm.
        rise = 0.22 * np.maximum(a["shoulder_elevation"] - 40.0, 0.0)
        forward = 0.12 * a["shoulder_elevation"] * np.sin(plane)
        collar = axis_rotation(_Y, -sign * rise) @ axis_rotation(_Z, -sign * forward)
        put(f"clavicle.{end}", collar)
        inward = sign * a["shoulder_rotation"]
        put(f"upperarm01.{end}", np.swapaxes(collar, -1, -2) @ swing @ axis_rotation(upper, 0.5 * inward))
        put(f"upperarm02.{end}", axis_rotation(upper, 0.5 * inward))
        put(f"lowerarm01.{end}", axis_rotation(hinge, a["elbow_flexion"] - elbow))
        put(f"lowerarm02.{end}", axis_rotation(fore, sign * a["forearm_pronation"]))
        put(f"wrist.{end}", axis_rotation(across, a["wrist_flexion"]))
        curl = axis_rotation(across, a["finger_curl"])
        for finger in (2, 3, 4, 5):
            for phalanx in (1, 2, 3):
                put(f"finger{finger}-{phalanx}.{end}", curl)

    def _rotate_leg(self, put, end: str, sign: float, a: dict) -> None:
        thigh, hinge, knee = self._legs[end]
        outward = -sign * a["hip_rotation"]
        # Flexion about the pelvis, then abduction, then rotation about the thigh (order of Grood and Suntay).
        swing = axis_rotation(_X, -a["hip_flexion"]) @ axis_rotation(_Y, -sign * a["hip_abduction"])
        put(f"upperleg01.{end}", swing @ axis_rotation(thigh, 0.5 * outward))
        put(f"upperleg02.{end}", axis_rotation(thigh, 0.5 * outward))
        put(f"lowerleg01.{end}", axis_rotation(hinge, a["knee_flexion"] - knee))
        put(f"foot.{end}", axis_rotation(_X, -a["ankle_dorsiflexion"]))

    def joints(self, rotations: Float[np.ndarray, "pose bone 3 3"]) -> Float[np.ndarray, "pose bone 3"]:
        """Return the start of each bone, for the body that defines the axes."""
        turned, placed = [rotations[:, 0]], [np.broadcast_to(self.heads[0], (len(rotations), 3))]
        for bone in range(1, len(self.bones)):
            parent = self.parents[bone]
            placed.append(placed[parent] + turned[parent] @ (self.heads[bone] - self.heads[parent]))
            turned.append(turned[parent] @ rotations[:, bone])
        return np.stack(placed, 1)

"""Augmentation as in SPIN, CLIFF and Meta-HMR, and what it does to the labels."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from hamipose.errors import InputError
from meshtto.joints import MIRROR24, MIRROR49
from meshtto.types import MeshSample

__all__ = ["PLAIN", "Augmentation", "Draw", "mirror_rotations", "scale_channels", "turn_and_mirror"]

_MIRROR = np.array([-1.0, 1.0, 1.0])


class Draw(NamedTuple):
    """What was drawn for one view."""

    mirror: bool
    rotation_deg: float
    scale: float  # of the box
    channels: Float[np.ndarray, "3"]  # factors of red, green, blue


@dataclass(frozen=True)
class Augmentation:
    """Ranges that augmentation draws from; the values are those of the released code of Meta-HMR.

    Attributes:
        mirror: probability of mirroring.
        noise: each colour is multiplied by a number from 1 − noise to 1 + noise.
        rotation_deg: standard deviation of turns, cut off at twice that.
        upright: probability that a view is not turned at all.
        scale: standard deviation of the box's size around 1, cut off at once that.
        occluders: most cut-outs put before a person of a set with `occluders`; at least one is.
    """

    mirror: float = 0.5
    noise: float = 0.4
    rotation_deg: float = 30.0
    upright: float = 0.6
    scale: float = 0.25
    occluders: int = 7

    def __post_init__(self) -> None:
        for name, low, high in (("mirror", 0, 1), ("noise", 0, 1), ("upright", 0, 1), ("scale", 0, 0.9)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} of augmentation is {getattr(self, name)}, expected {low} to {high}")
        if self.rotation_deg < 0 or self.occluders < 0:
            raise InputError("rotation_deg and occluders of augmentation are expected to be 0 or more")

    def draw(self, rng: np.random.Generator) -> Draw:
        """The numbers of one view."""
        mirror = bool(rng.random() < self.mirror)
        channels = rng.uniform(1 - self.noise, 1 + self.noise, 3)
        turn = float(np.clip(rng.standard_normal() * self.rotation_deg, -2 * self.rotation_deg, 2 * self.rotation_deg))
        scale = float(np.clip(1 + rng.standard_normal() * self.scale, 1 - self.scale, 1 + self.scale))
        return Draw(mirror, 0.0 if rng.random() < self.upright else turn, scale, channels)


#: No augmentation.
PLAIN = Draw(False, 0.0, 1.0, np.ones(3))


def scale_channels(
    image: UInt8[np.ndarray, "height width 3"], factors: Float[np.ndarray, "3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Each colour times its factor, cut off at white."""
    if (factors == 1).all():
        return image
    table = np.clip(np.round(np.arange(256)[:, None] * factors), 0, 255).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], -1)


def mirror_rotations(rotations: Float[np.ndarray, "24 3 3"]) -> Float[np.ndarray, "24 3 3"]:
    """The pose of the mirror image (x ↦ −x): M R M of each joint's partner."""
    return (_MIRROR[:, None] * rotations * _MIRROR)[list(MIRROR24)]


def turn_and_mirror(sample: MeshSample, draw: Draw) -> MeshSample:
    """The sample's 3D labels as the virtual camera has them; its pixels are left to the framing."""
    rotations, joints = sample.rotations, sample.joints_m
    swap = list(MIRROR49) if draw.mirror else list(range(len(joints)))
    if draw.mirror:
        rotations, joints = mirror_rotations(rotations), joints[swap] * _MIRROR
    turn = np.deg2rad(draw.rotation_deg)
    about_axis = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    rotations = rotations.astype(np.float64)
    rotations[0] = about_axis @ rotations[0]
    return replace(
        sample,
        rotations=rotations.astype(np.float32),
        joints_m=(joints @ about_axis.T).astype(np.float32),
        joints_confidence=sample.joints_confidence[swap],
        keypoints_px=sample.keypoints_px[swap],
        keypoints_confidence=sample.keypoints_confidence[swap],
        evidence_px=sample.evidence_px[swap],
        evidence_confidence=sample.evidence_confidence[swap],
    )

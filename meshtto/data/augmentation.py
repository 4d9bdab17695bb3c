"""Augmentation as in SPIN, CLIFF and Meta-HMR, and its effect on labels."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from hamipose.errors import UserError
from meshtto.joints import MIRROR24, MIRROR49
from meshtto.types import MeshSample

__all__ = [
    "NO_AUGMENTATION",
    "NO_AUGMENTATION_RANGES",
    "Augmentation",
    "AugmentationParams",
    "Views",
    "mirror_rotations",
    "scale_channels",
    "transform_labels",
]

_MIRROR = np.array([-1.0, 1.0, 1.0])


class AugmentationParams(NamedTuple):
    """Augmentation parameters of one view.

    Attributes:
        mirror: whether the view is mirrored.
        rotation_deg: rotation angle.
        scale: factor of the box size.
        channels: factors of red, green and blue.
    """

    mirror: bool
    rotation_deg: float
    scale: float
    channels: Float[np.ndarray, "3"]


class Views(NamedTuple):
    """Augmentation parameters of many views; fields as in `AugmentationParams`, without colors."""

    mirror: Bool[np.ndarray, " view"]
    rotation_deg: Float[np.ndarray, " view"]
    scale: Float[np.ndarray, " view"]

    def rows(self, rows: slice | np.ndarray) -> "Views":
        """Return some of the views."""
        return Views(*(values[rows] for values in self))


@dataclass(frozen=True)
class Augmentation:
    """Ranges of augmentation; the defaults are those of Meta-HMR's released code.

    Attributes:
        mirror: probability of mirroring.
        noise: each color channel is multiplied by a number from 1 − noise to 1 + noise.
        rotation_deg: standard deviation of rotations, clipped at twice this value.
        upright: probability of no rotation.
        scale: standard deviation of the box's relative size, clipped at this value.
        occluders: maximum number of occluders in sets with `occluders`; the minimum is one.
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
                raise UserError(f"{name} of augmentation is {getattr(self, name)}, expected {low} to {high}")
        if self.rotation_deg < 0 or self.occluders < 0:
            raise UserError("rotation_deg and occluders of augmentation must be 0 or more")

    def draw(self, rng: np.random.Generator) -> AugmentationParams:
        """Draw the parameters of one view."""
        mirror = bool(rng.random() < self.mirror)
        channels = rng.uniform(1 - self.noise, 1 + self.noise, 3)
        turn = float(np.clip(rng.standard_normal() * self.rotation_deg, -2 * self.rotation_deg, 2 * self.rotation_deg))
        scale = float(np.clip(1 + rng.standard_normal() * self.scale, 1 - self.scale, 1 + self.scale))
        return AugmentationParams(mirror, 0.0 if rng.random() < self.upright else turn, scale, channels)

    def draw_many(self, rng: np.random.Generator, count: int) -> Views:
        """Draw the parameters of many views, of the same distribution."""
        turn = np.clip(rng.standard_normal(count), -2, 2) * self.rotation_deg
        return Views(
            rng.random(count) < self.mirror,
            np.where(rng.random(count) < self.upright, 0.0, turn),
            np.clip(1 + rng.standard_normal(count) * self.scale, 1 - self.scale, 1 + self.scale),
        )


#: No augmentation.
NO_AUGMENTATION = AugmentationParams(False, 0.0, 1.0, np.ones(3))
#: Ranges that contain nothing but :data:`NO_AUGMENTATION`.
NO_AUGMENTATION_RANGES = Augmentation(mirror=0.0, noise=0.0, upright=1.0, scale=0.0)


def scale_channels(
    image: UInt8[np.ndarray, "height width 3"], factors: Float[np.ndarray, "3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Multiply each color channel by its factor, clipped at white."""
    if (factors == 1).all():
        return image
    table = np.clip(np.round(np.arange(256)[:, None] * factors), 0, 255).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], -1)


def mirror_rotations(rotations: Float[np.ndarray, "*any 24 3 3"]) -> Float[np.ndarray, "*any 24 3 3"]:
    """Return the pose of the mirror image (x ↦ −x): M R M of each joint's partner."""
    return (_MIRROR[:, None] * rotations * _MIRROR)[..., list(MIRROR24), :, :]


def transform_labels(sample: MeshSample, params: AugmentationParams) -> MeshSample:
    """Transform 3D labels to the virtual camera and swap left and right; pixels are left to the crop geometry."""
    rotations, joints = sample.rotations, sample.joints_m
    swap = list(MIRROR49) if params.mirror else list(range(len(joints)))
    if params.mirror:
        rotations, joints = mirror_rotations(rotations), joints[swap] * _MIRROR
    turn = np.deg2rad(params.rotation_deg)
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

"""One labeled picture of one left hand, from nothing but (look, seed, index, size)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, UInt8

from hamipose.errors import UserError
from hamipose.synthetic.hands.articulation import draw_hand_pose
from hamipose.synthetic.hands.labels import label_hand
from hamipose.synthetic.hands.poses import HandPose
from hamipose.synthetic.hands.scene_setup import stage_hand
from hamipose.synthetic.hands.surface import Hand, hand_surface
from hamipose.synthetic.people.bodies import sample_shape
from hamipose.synthetic.people.labels import Labels
from hamipose.synthetic.people.sample import LOOKS
from hamipose.synthetic.renderer.camera_effects import encode, finish
from hamipose.synthetic.renderer.raycast import Renderer
from hamipose.synthetic.scene.scene import Scene

__all__ = ["HandPicture", "hand_renderer", "picture_hand"]


@dataclass
class HandPicture:
    """A picture and everything known about it.

    Attributes:
        image: before compression.
        jpeg: the bytes of the picture's file.
        mask: where hand and forearm are seen.
        labels: in the order of HAND21.
    """

    image: UInt8[np.ndarray, "height width 3"]
    jpeg: bytes
    mask: Bool[np.ndarray, "height width"]
    labels: Labels
    pose: HandPose
    hand: Hand
    scene: Scene


@lru_cache(maxsize=2)
def hand_renderer(device: str | None = None) -> Renderer:
    """The renderer of this process for hands."""
    return Renderer(hand_surface(), device)


def picture_hand(
    look: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 256,
    backgrounds: str | None = None,
    backdrops: list[str] | None = None,
    family: str | None = None,
    facing: list[str] | None = None,
    roll_deg: float | None = None,
    device: str | None = None,
) -> HandPicture:
    """Draws hand, pose and scene number `index` of a seed, renders it, reads off its labels. Every hand is a left one.

    Args:
        look: ``"plain"`` or ``"photo"``.
        index: which picture; the same number gives the same picture whatever was drawn before.
        seed: which series of pictures.
        size: side in pixels.
        backgrounds: folder of photographs to put behind the hand instead of drawn surroundings.
        backdrops: kinds of drawn surroundings of the plain look, of `backdrops.BACKDROPS`; all of them where None.
        family: one of `hands_poses.HAND_FAMILIES` instead of the mixture.
        facing: which of `hands_staging.FACINGS` may be towards the camera; any where None.
        roll_deg: the hand points up in the picture, give or take this much; where None, more often than not.
        device: warp's name of a device; None: a GPU if there is one.

    Raises:
        UserError: unknown look, or no usable photograph.
    """
    if look not in LOOKS:
        raise UserError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    rng = np.random.default_rng([seed, len(LOOKS) + LOOKS.index(look), index])  # no draw is shared with people
    surface = hand_surface()
    shape = sample_shape(rng)
    pose = draw_hand_pose(rng, surface.articulation, family=family)
    hand = surface.hand(shape, pose)
    scene, points = stage_hand(
        rng,
        surface,
        hand,
        look=look,
        size=(size, size),
        backgrounds=backgrounds,
        backdrops=backdrops,
        facing=facing,
        roll_deg=roll_deg,
    )
    caster = hand_renderer(device)
    caster.load(scene)
    linear, cover = caster.picture()
    labels = label_hand(caster, scene.camera, points, hand.length_m)
    image = finish(rng, linear, look)
    return HandPicture(image, encode(rng, image, look), cover > 0.5, labels, pose, hand, scene)

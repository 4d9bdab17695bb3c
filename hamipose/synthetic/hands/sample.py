"""Render one labeled image of a left hand as a function of (style, seed, index, size)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, UInt8

from hamipose.synthetic.hands.articulation import draw_hand_pose
from hamipose.synthetic.hands.hand_model import Hand, hand_model
from hamipose.synthetic.hands.poses import HandPose
from hamipose.synthetic.hands.scene_setup import build_hand_scene
from hamipose.synthetic.labels import Labels, label_hand
from hamipose.synthetic.people.body_model import sample_shape
from hamipose.synthetic.renderer.camera_effects import apply_camera_effects, encode_jpeg
from hamipose.synthetic.renderer.raycast import Renderer
from hamipose.synthetic.scene.appearance import STYLES, check_style
from hamipose.synthetic.scene.scene import Scene

__all__ = ["RenderedHand", "get_hand_renderer", "render_hand"]


@dataclass
class RenderedHand:
    """An image of a left hand with its labels and scene.

    Attributes:
        image: image before compression.
        jpeg: compressed image.
        mask: visible pixels of hand and forearm.
        labels: labels in the order of HAND21.
        pose: pose of the hand.
        hand: posed hand.
        scene: scene of the image.
    """

    image: UInt8[np.ndarray, "height width 3"]
    jpeg: bytes
    mask: Bool[np.ndarray, "height width"]
    labels: Labels
    pose: HandPose
    hand: Hand
    scene: Scene


@lru_cache(maxsize=2)
def get_hand_renderer(device: str | None = None) -> Renderer:
    """Return the renderer of this process for hands."""
    return Renderer(hand_model(), device)


def render_hand(
    style: str,
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
) -> RenderedHand:
    """Draw hand, pose and scene of one index of a series, render the image, and compute its labels.

    All hands are left hands.

    Args:
        style: "plain" or "photo".
        index: index in the series; the result does not depend on what was rendered before.
        seed: seed of the series.
        size: side of the square image in pixels.
        backgrounds: folder of photographs to use as background; default: a drawn background.
        backdrops: drawn backgrounds of the plain style, of `backgrounds.BACKDROPS`; default: all.
        family: pose family of `poses.HAND_FAMILIES`; default: any.
        facing: sides of `scene_setup.FACINGS` that may face the camera; default: all.
        roll_deg: maximum angle in the image between the hand and the upward direction; see
            `scene_setup.draw_hand_rotation`.
        device: warp device name; default: a GPU if available.

    Raises:
        UserError: an unknown style, or no usable photograph.
    """
    check_style(style)
    rng = np.random.default_rng([seed, len(STYLES) + STYLES.index(style), index])  # not those of people
    surface = hand_model()
    shape = sample_shape(rng)
    pose = draw_hand_pose(rng, surface.articulation, family=family)
    hand = surface.pose_hand(shape, pose)
    scene, points = build_hand_scene(
        rng,
        surface,
        hand,
        style=style,
        size=(size, size),
        backgrounds=backgrounds,
        backdrops=backdrops,
        facing=facing,
        roll_deg=roll_deg,
    )
    renderer = get_hand_renderer(device)
    renderer.load(scene)
    linear, cover = renderer.render()
    labels = label_hand(renderer, scene.camera, points, hand.length_m)
    image = apply_camera_effects(rng, linear, style)
    return RenderedHand(image, encode_jpeg(rng, image, style), cover > 0.5, labels, pose, hand, scene)

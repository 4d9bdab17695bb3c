"""Render one labeled image of a person as a function of (style, seed, index, size)."""

import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, UInt8

from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.labels import Labels, label_person
from hamipose.synthetic.people.body_model import Body, PosedBodies, sample_shape
from hamipose.synthetic.people.coarse_body import body_model_for
from hamipose.synthetic.people.collisions import draw_poses
from hamipose.synthetic.people.poses import Pose, draw_family
from hamipose.synthetic.people.scene_setup import build_scene
from hamipose.synthetic.render_jobs import BLOCK
from hamipose.synthetic.renderer.camera_effects import apply_camera_effects, encode_jpeg
from hamipose.synthetic.renderer.raycast import get_renderer
from hamipose.synthetic.scene.appearance import STYLES, check_style
from hamipose.synthetic.scene.scene import Scene

__all__ = ["RenderedPerson", "render_person"]


@dataclass
class RenderedPerson:
    """An image of a person with its labels and scene.

    Attributes:
        image: image before compression.
        jpeg: compressed image.
        mask: visible pixels of the person.
        labels: labels by the name of the skeleton.
        pose: pose of the person.
        body: posed body.
        scene: scene of the image.
    """

    image: UInt8[np.ndarray, "height width 3"]
    jpeg: bytes
    mask: Bool[np.ndarray, "height width"]
    labels: dict[str, Labels]
    pose: Pose
    body: Body
    scene: Scene


@dataclass
class _Block:
    """Bodies of consecutive people, and the random generators of their scenes.

    The bodies are posed as one batch, which takes a fifth of the time. The last digits depend on the batch, so a block
    is always posed as a whole.
    """

    rngs: list[np.random.Generator]
    poses: list[Pose]
    posed: PosedBodies


@lru_cache(maxsize=2)
def _block(style: str, seed: int, number: int, families: tuple[str, ...] | None, size: int) -> _Block:
    surface = body_model_for(size)
    indices = range(number * BLOCK, (number + 1) * BLOCK)
    rngs = [np.random.default_rng([seed, STYLES.index(style), index]) for index in indices]
    names: list[str | None] = [None] * BLOCK
    if families is not None:
        names = [draw_family(np.random.default_rng([seed, index]), list(families)) for index in indices]
    shapes = [sample_shape(rng) for rng in rngs]
    poses = draw_poses(rngs, surface.articulation, names)
    return _Block(rngs, poses, surface.pose_batch(shapes, surface.articulation.rotations(poses)))


def render_person(
    style: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 256,
    backgrounds: str | None = None,
    backdrops: list[str] | None = None,
    poses: list[str] | None = None,
    device: str | None = None,
) -> RenderedPerson:
    """Draw body, pose and scene of one index of a series, render the image, and compute its labels.

    Args:
        style: "plain" or "photo".
        index: index in the series; the result does not depend on what was rendered before.
        seed: seed of the series.
        size: side of the square image in pixels.
        backgrounds: folder of photographs to use as background; default: a drawn background.
        backdrops: drawn backgrounds of the plain style, of `backgrounds.BACKDROPS`; default: all.
        poses: pose families of `pose_distributions.FAMILIES`; default: all.
        device: warp device name; default: a GPU if available.

    Raises:
        UserError: an unknown style, or no usable photograph.
    """
    check_style(style)
    surface = body_model_for(size)
    number, position = divmod(index, BLOCK)
    block = _block(style, seed, number, None if poses is None else tuple(poses), size)
    rng, pose = copy.deepcopy(block.rngs[position]), block.poses[position]
    heading = float(rng.uniform(-180, 180)) if abs(pose.pitch) > 45 else 0.0
    body = surface.place(block.posed, position, pose, heading)
    scene = build_scene(
        rng,
        surface,
        body,
        pose,
        style=style,
        size=(size, size),
        heading=heading,
        backgrounds=backgrounds,
        backdrops=backdrops,
    )
    renderer = get_renderer(device, surface)
    renderer.load(scene)
    linear, cover = renderer.render()
    labels = label_person(renderer, scene.camera, body, (BODY16, COCO17))
    image = apply_camera_effects(rng, linear, style)
    return RenderedPerson(image, encode_jpeg(rng, image, style), cover > 0.5, labels, pose, body, scene)

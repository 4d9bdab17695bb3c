"""One labeled picture of one person, from nothing but (look, seed, index, size)."""

import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, UInt8

from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.people.bodies import Body, PosedBodies, bodies_for, sample_shape
from hamipose.synthetic.people.collisions import draw_poses
from hamipose.synthetic.people.labels import Labels, label
from hamipose.synthetic.people.poses import Pose, draw_family
from hamipose.synthetic.processes import BLOCK
from hamipose.synthetic.renderer.camera_effects import encode, finish
from hamipose.synthetic.renderer.raycast import renderer
from hamipose.synthetic.scene.scene import Scene
from hamipose.synthetic.scene.scene_setup import stage

__all__ = ["LOOKS", "Person", "picture_person"]

#: The two domains; positions are part of the seed.
LOOKS = ("plain", "photo")


@dataclass
class Person:
    """A picture and everything known about it.

    Attributes:
        image: before compression.
        jpeg: the bytes of the picture's file.
        mask: where the person is seen.
        labels: by the name of the skeleton.
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
    """The bodies of consecutive people and the generators that draw their scenes.

    They are posed together, which takes a fifth of the time. The last digits depend on who is posed with whom, so a
    block is always posed whole.
    """

    rngs: list[np.random.Generator]
    poses: list[Pose]
    posed: PosedBodies


@lru_cache(maxsize=2)
def _block(look: str, seed: int, number: int, families: tuple[str, ...] | None, size: int) -> _Block:
    surface = bodies_for(size)
    indices = range(number * BLOCK, (number + 1) * BLOCK)
    rngs = [np.random.default_rng([seed, LOOKS.index(look), index]) for index in indices]
    drawn: list[str | None] = [None] * BLOCK
    if families is not None:
        drawn = [draw_family(np.random.default_rng([seed, index]), list(families)) for index in indices]
    shapes = [sample_shape(rng) for rng in rngs]
    poses = draw_poses(rngs, surface.articulation, drawn)
    return _Block(rngs, poses, surface.posed(shapes, surface.articulation.rotations(poses)))


def picture_person(
    look: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 256,
    backgrounds: str | None = None,
    backdrops: list[str] | None = None,
    poses: list[str] | None = None,
    device: str | None = None,
) -> Person:
    """Draws body, pose and scene number `index` of a seed, renders it, reads off its labels.

    Args:
        look: ``"plain"`` or ``"photo"``.
        index: which picture; the same number gives the same picture whatever was drawn before.
        seed: which series of pictures.
        size: side in pixels.
        backgrounds: folder of photographs to put behind the person instead of drawn surroundings.
        backdrops: kinds of drawn surroundings of the plain look, of `backdrops.BACKDROPS`; all of them where None.
        poses: some of `families.FAMILIES` instead of the mixture of all.
        device: warp's name of a device; None: a GPU if there is one.

    Raises:
        UserError: unknown look, or no usable photograph.
    """
    if look not in LOOKS:
        raise UserError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    surface = bodies_for(size)
    number, place = divmod(index, BLOCK)
    block = _block(look, seed, number, None if poses is None else tuple(poses), size)
    rng, pose = copy.deepcopy(block.rngs[place]), block.poses[place]
    heading = float(rng.uniform(-180, 180)) if abs(pose.pitch) > 45 else 0.0
    body = surface.placed(block.posed, place, pose, heading)
    scene = stage(
        rng,
        surface,
        body,
        pose,
        look=look,
        size=(size, size),
        heading=heading,
        backgrounds=backgrounds,
        backdrops=backdrops,
    )
    caster = renderer(device, surface)
    caster.load(scene)
    linear, cover = caster.picture()
    labels = label(caster, scene.camera, body, (BODY16, COCO17))
    image = finish(rng, linear, look)
    return Person(image, encode(rng, image, look), cover > 0.5, labels, pose, body, scene)

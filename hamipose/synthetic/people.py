"""One labelled picture of one person, from nothing but (look, seed, index, size)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from hamipose.errors import InputError
from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.bodies import Body, bodies, sample_shape
from hamipose.synthetic.collisions import draw_pose
from hamipose.synthetic.finishing import encode, finish
from hamipose.synthetic.labels import Labels, label
from hamipose.synthetic.poses import Pose
from hamipose.synthetic.raycast import renderer
from hamipose.synthetic.scene import Scene
from hamipose.synthetic.staging import stage

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


def picture_person(
    look: str,
    index: int,
    *,
    seed: int = 0,
    size: int = 256,
    backgrounds: str | None = None,
    backdrops: list[str] | None = None,
    family: str | None = None,
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
        family: one of `poses.FAMILIES` instead of the mixture.
        device: warp's name of a device; None: a GPU if there is one.

    Raises:
        InputError: unknown look, or no usable photograph.
    """
    if look not in LOOKS:
        raise InputError(f"look is {look!r}, expected one of {', '.join(LOOKS)}")
    rng = np.random.default_rng([seed, LOOKS.index(look), index])
    surface = bodies()
    shape = sample_shape(rng)
    pose = draw_pose(rng, surface.articulation, family=family)
    heading = float(rng.uniform(-180, 180)) if abs(pose.pitch) > 45 else 0.0
    body = surface.body(shape, pose, heading)
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
    caster = renderer(device)
    caster.load(scene)
    linear, cover = caster.picture()
    labels = {s.name: label(caster, scene.camera, body, s) for s in (BODY16, COCO17)}
    image = finish(rng, linear, look)
    return Person(image, encode(rng, image, look), cover > 0.5, labels, pose, body, scene)

"""Set up the scene of a hand: view direction, camera, sleeve, lights, objects and occluders."""

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.hand_model import Hand, HandModel
from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.body_model import PARTS
from hamipose.synthetic.people.clothing import OUTFIT_FIELDS, draw_cloth_color, draw_skin_color, draw_wrinkles
from hamipose.synthetic.scene.appearance import draw_lights, draw_material
from hamipose.synthetic.scene.backgrounds import draw_background
from hamipose.synthetic.scene.scene import Camera, Materials, Scene, Solids

__all__ = ["FACINGS", "build_hand_scene", "draw_hand_rotation", "fit_hand_camera"]

#: Sides of a hand that may face the camera: the palm or the back within 50 degrees, or the edge between them.
FACINGS = ("palm", "back", "edge")
_MIN_COSINE = np.cos(np.deg2rad(50.0))
_KNUCKLES = ("index_mcp", "middle_mcp", "little_mcp")

_Y, _Z = np.eye(3)[1:]


def _faces_camera(towards: Float[np.ndarray, "3"], palm: Float[np.ndarray, "3"], facing: list[str] | None) -> bool:
    """Return whether one of the requested sides faces the camera in this direction."""
    along = float(palm @ towards / np.linalg.norm(towards))
    kind = "palm" if along > _MIN_COSINE else "back" if along < -_MIN_COSINE else "edge"
    return facing is None or kind in facing


def draw_hand_rotation(
    rng: np.random.Generator, hand: Hand, facing: list[str] | None = None, roll_deg: float | None = None
) -> Float[np.ndarray, "3 3"]:
    """Draw a rotation of the hand, for a camera on the -y side whose up axis is z.

    Directions are uniform over the sphere, except that the camera never sees the elbow in front of the hand, where the
    arm ends.

    Args:
        rng: random generator.
        hand: posed hand.
        facing: sides of `FACINGS` that may face the camera; default: all.
        roll_deg: maximum angle in the image between the hand and the upward direction; default: any angle, mostly
            within 35 degrees.
    """
    wrist, index, middle, little = (hand.points_m[HAND21.index(k)] for k in ("wrist", *_KNUCKLES))
    arm = middle - hand.vertices_m[-1]  # from the elbow to the base of the middle finger
    arm = arm / np.linalg.norm(arm)
    palm = np.cross(little - wrist, index - wrist)
    palm = palm / np.linalg.norm(palm)
    towards = rng.standard_normal(3)
    while arm @ towards < -0.5 * np.linalg.norm(towards) or not _faces_camera(towards, palm, facing):
        towards = rng.standard_normal(3)
    towards = towards / np.linalg.norm(towards)
    up = arm - (arm @ towards) * towards
    if np.linalg.norm(up) < 1e-6:
        up = np.cross(towards, _Y)
    up = up / np.linalg.norm(up)
    straight = np.stack([np.cross(-towards, up), -towards, up])
    if roll_deg is None:
        roll = rng.normal(0, 35) if rng.random() < 0.6 else rng.uniform(-180, 180)
    else:
        roll = rng.uniform(-roll_deg, roll_deg)
    return axis_rotation(_Y, np.asarray(roll)) @ straight


def fit_hand_camera(rng: np.random.Generator, points_m: Float[np.ndarray, "21 3"], size: tuple[int, int]) -> Camera:
    """Draw a camera without roll on the -y side that has the joints in view; one in twelve hands is truncated.

    The bounding box of the joints takes up a random fraction of the image, as in crops of 1.2 to 2 times the box.

    Args:
        rng: random generator.
        points_m: joints of the rotated hand.
        size: height and width of the image in pixels.
    """
    middle = (points_m.min(0) + points_m.max(0)) / 2
    share = rng.uniform(0.5, 0.84) if rng.random() < 11 / 12 else rng.uniform(0.84, 1.1)
    distance, height = rng.uniform(0.3, 1.0), rng.normal(0, 0.12)
    position = middle + distance * np.array([0.0, -np.cos(height), np.sin(height)])
    wanted = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    wanted = wanted + rng.uniform(-1, 1, 2) * max(1 - share, 0.06) * 0.35 * np.array([size[1], size[0]])
    target, focal = middle, float(size[1])
    for _ in range(5):
        forward = (target - position) / np.linalg.norm(target - position)
        right = np.cross(forward, _Z)
        right = right / np.linalg.norm(right)
        camera = Camera(position, np.stack([right, np.cross(forward, right), forward]), focal, size)
        flat = camera.project(points_m)
        low, high = flat.min(0), flat.max(0)
        focal *= share * min(size) / max(float((high - low).max()), 1e-6)
        shift = (low + high) / 2 - wanted
        target = target + (np.array([*shift, 0.0]) * distance / focal) @ camera.rotation
    return camera


def _draw_sleeve(rng: np.random.Generator, materials: Materials, style: str) -> Float[np.ndarray, " setting"]:
    """Draw skin and a sleeve that ends along the forearm, as a vector of `OUTFIT_FIELDS`."""
    photo = style == "photo"
    w = dict.fromkeys(OUTFIT_FIELDS, 0.0)
    gloss, noise = (rng.uniform(0.0, 0.14), rng.uniform(0.03, 0.08)) if photo else (0.0, 0.0)
    w["skin"] = materials.add(draw_skin_color(rng), gloss=gloss, noise=noise)
    first, second = (
        (draw_cloth_color(rng), draw_cloth_color(rng)) if photo else (rng.uniform(0, 1, 3), rng.uniform(0, 1, 3))
    )
    kind = ("plain", "rings", "stripes", "checks", "tartan", "grain")[rng.integers(6)] if photo else "plain"
    w["top"] = materials.add(first, second, kind, rng.uniform(6, 26), noise=0.06 if photo else 0.0)
    # The forearm extends from 1 to 2; it is always covered at the elbow, where the surface ends.
    w["sleeve"] = rng.choice([1.3, 1.55, 1.8, 1.92]) + rng.uniform(-0.1, 0.04)
    return np.array([w[name] for name in OUTFIT_FIELDS])


def _add_objects(rng: np.random.Generator, scene: Scene, points_m: Float[np.ndarray, "21 3"], style: str) -> None:
    """Add a few objects behind the hand, and in the photo style sometimes an occluder in front of it."""
    ahead, right, down = scene.camera.rotation[2], scene.camera.rotation[0], scene.camera.rotation[1]
    middle, solids, materials = points_m.mean(0), scene.solids, scene.materials
    view = scene.camera.size[1] / scene.camera.focal_px  # width of the image at a distance of 1
    eye = scene.camera.position_m
    for _ in range(int(rng.integers(0, 6 if style == "photo" else 3))):
        away = rng.uniform(0.35, 1.6)
        far = float(np.linalg.norm(middle - eye)) + away
        at = eye + far * (ahead + view * (rng.uniform(-0.6, 0.6) * right + rng.uniform(-0.6, 0.6) * down))
        half = far * view * rng.uniform(0.04, 0.4, 3)
        half = np.minimum(half, away * 0.4)
        axes = axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))
        kind = ("box", "box", "cylinder", "ellipsoid")[rng.integers(4)]
        material = 0 if rng.random() < 0.15 else draw_material(rng, materials, style)  # 0: the skin of the hand
        solids.add(kind, at, axes, half, material)
    if style == "photo" and rng.random() < 0.22:
        hidden = points_m[rng.integers(len(points_m))]
        near = rng.uniform(0.35, 0.7)
        at = eye + near * (hidden - eye)
        half = near * rng.uniform(0.006, 0.02, 3)
        kind = ("box", "cylinder", "ellipsoid")[rng.integers(3)]
        if kind == "cylinder":
            half[2] = 0.5
        if np.linalg.norm(points_m - at, axis=1).min() > 0.06:
            axes = axis_rotation(_Y, np.asarray(rng.normal(0, 40))) @ axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))
            solids.add(kind, at, axes, half, draw_material(rng, materials, style))


def build_hand_scene(
    rng: np.random.Generator,
    surface: HandModel,
    hand: Hand,
    *,
    style: str,
    size: tuple[int, int],
    backgrounds: str | None,
    backdrops: list[str] | None = None,
    facing: list[str] | None = None,
    roll_deg: float | None = None,
) -> tuple[Scene, Float[np.ndarray, "21 3"]]:
    """Build the scene of a hand, and return it with the joints in its world (z up, meters).

    Args:
        rng: random generator.
        surface: hand model.
        hand: posed hand.
        style: "plain" or "photo".
        size: height and width of the image in pixels.
        backgrounds: folder of photographs to use as background; default: a drawn background.
        backdrops: drawn backgrounds of the plain style; default: all.
        facing: sides of `FACINGS` that may face the camera; default: all.
        roll_deg: maximum angle in the image between the hand and the upward direction; see `draw_hand_rotation`.
    """
    photo = style == "photo"
    turn = draw_hand_rotation(rng, hand, facing, roll_deg)
    points = hand.points_m @ turn.T
    materials = Materials()
    outfit = _draw_sleeve(rng, materials, style)
    sleeve = outfit[OUTFIT_FIELDS.index("sleeve")]
    loose = rng.uniform(0.001, 0.012)
    covered = np.clip((sleeve - surface.along) / 0.05, 0.0, 1.0) * (surface.part == PARTS.index("left_forearm"))
    offset = loose * covered
    normals, blotch = hand.normals, np.zeros(len(offset))
    if photo:
        tilt, blotch = draw_wrinkles(rng, surface, offset, rng.uniform(0.3, 1.1))
        normals = normals + tilt
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = (hand.vertices_m + offset[:, None] * hand.normals) @ turn.T
    camera = fit_hand_camera(rng, points, size)
    lights = draw_lights(rng, style)
    lights.shade_m = min(lights.shade_m, 0.02)  # a larger distance makes skin grainy at one ray per pixel
    scene = Scene(
        camera=camera,
        lights=lights,
        materials=materials,
        solids=Solids(),
        background=np.zeros((*size, 3)),
        vertices_m=vertices,
        normals=normals @ turn.T,
        blotch=blotch,
        outfit=outfit,
        seed=int(rng.integers(1, 2**20)),
    )
    # The number of draws of the background depends on the image size, so the background has a generator of its own.
    generator = np.random.default_rng(rng.integers(2**32))
    if backgrounds is None:
        _add_objects(rng, scene, points, style)
    scene.background = draw_background(generator, style, size, backgrounds, backdrops)
    return scene, points

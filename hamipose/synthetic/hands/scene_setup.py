"""Puts a hand in front of a camera: how it is turned, framing, sleeve, lights, things behind it and in the way."""

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.surface import Hand, HandSurface
from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.bodies import PARTS
from hamipose.synthetic.people.clothing import SETTINGS, cloth_color, skin_color, wrinkles
from hamipose.synthetic.scene.backgrounds import photo_backdrop, plain_backdrop, scenery
from hamipose.synthetic.scene.scene import Camera, Materials, Scene, Solids
from hamipose.synthetic.scene.scene_setup import draw_lights, draw_material

__all__ = ["FACINGS", "frame_hand", "stage_hand", "turned_to_camera"]

#: What of a hand may be towards the camera: the palm or its back within 50 degrees, or what lies between.
FACINGS = ("palm", "back", "edge")
_BROAD = np.cos(np.deg2rad(50.0))
_KNUCKLES = ("index_mcp", "middle_mcp", "little_mcp")

_Y, _Z = np.eye(3)[1:]
_TO_LINEAR = (np.linspace(0, 1, 1 << 12) ** 2.2).astype(np.float32)


def _faces(towards: Float[np.ndarray, "3"], palm: Float[np.ndarray, "3"], facing: list[str] | None) -> bool:
    """Whether a direction to the camera is one of those wanted."""
    along = float(palm @ towards / np.linalg.norm(towards))
    kind = "palm" if along > _BROAD else "back" if along < -_BROAD else "edge"
    return facing is None or kind in facing


def turned_to_camera(
    rng: np.random.Generator, hand: Hand, facing: list[str] | None = None, roll_deg: float | None = None
) -> Float[np.ndarray, "3 3"]:
    """A rotation after which a camera on the -y side, its up being z, sees the hand from a drawn direction.

    Directions are even over the sphere, except that the camera never looks at the hand past its elbow, where the arm is
    cut off.

    Args:
        rng: where the choices come from.
        hand: to be seen.
        facing: which of `FACINGS` may be towards the camera; any where None.
        roll_deg: the hand points up in the picture, give or take this much; where None, more often than not.
    """
    wrist, index, middle, little = (hand.points_m[HAND21.index(k)] for k in ("wrist", *_KNUCKLES))
    arm = middle - hand.vertices_m[-1]  # from the elbow to the base of the middle finger
    arm = arm / np.linalg.norm(arm)
    palm = np.cross(little - wrist, index - wrist)
    palm = palm / np.linalg.norm(palm)
    towards = rng.standard_normal(3)
    while arm @ towards < -0.5 * np.linalg.norm(towards) or not _faces(towards, palm, facing):
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


def frame_hand(rng: np.random.Generator, points_m: Float[np.ndarray, "21 3"], size: tuple[int, int]) -> Camera:
    """A level camera on the -y side that has the joints in view; one hand in twelve is cut by the edge.

    The box of the joints takes up a drawn share of the picture's side, about as in crops of 1.2 to 2 times that box.
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


def _dress(rng: np.random.Generator, materials: Materials, look: str) -> Float[np.ndarray, " setting"]:
    """Skin, and a sleeve that ends somewhere along the forearm; see `outfits.SETTINGS`."""
    photo = look == "photo"
    w = dict.fromkeys(SETTINGS, 0.0)
    gloss, noise = (rng.uniform(0.0, 0.14), rng.uniform(0.03, 0.08)) if photo else (0.0, 0.0)
    w["skin"] = materials.add(skin_color(rng), gloss=gloss, noise=noise)
    first, second = (cloth_color(rng), cloth_color(rng)) if photo else (rng.uniform(0, 1, 3), rng.uniform(0, 1, 3))
    kind = ("plain", "rings", "stripes", "checks", "tartan", "grain")[rng.integers(6)] if photo else "plain"
    w["top"] = materials.add(first, second, kind, rng.uniform(6, 26), noise=0.06 if photo else 0.0)
    # The forearm runs from 1 to 2: it is always covered at the elbow, where the surface ends.
    w["sleeve"] = rng.choice([1.3, 1.55, 1.8, 1.92]) + rng.uniform(-0.1, 0.04)
    return np.array([w[name] for name in SETTINGS])


def _things(rng: np.random.Generator, scene: Scene, points_m: Float[np.ndarray, "21 3"], look: str) -> None:
    """A few things behind the hand, and of the photo look now and then one between it and the camera."""
    ahead, right, down = scene.camera.rotation[2], scene.camera.rotation[0], scene.camera.rotation[1]
    middle, solids, materials = points_m.mean(0), scene.solids, scene.materials
    view = scene.camera.size[1] / scene.camera.focal_px  # width of the picture at a distance of 1
    eye = scene.camera.position_m
    for _ in range(int(rng.integers(0, 6 if look == "photo" else 3))):
        away = rng.uniform(0.35, 1.6)
        far = float(np.linalg.norm(middle - eye)) + away
        at = eye + far * (ahead + view * (rng.uniform(-0.6, 0.6) * right + rng.uniform(-0.6, 0.6) * down))
        half = far * view * rng.uniform(0.04, 0.4, 3)
        half = np.minimum(half, away * 0.4)
        axes = axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))
        kind = ("box", "box", "cylinder", "ellipsoid")[rng.integers(4)]
        material = 0 if rng.random() < 0.15 else draw_material(rng, materials, look)  # 0: of the hand's skin
        solids.add(kind, at, axes, half, material)
    if look == "photo" and rng.random() < 0.22:
        hidden = points_m[rng.integers(len(points_m))]
        near = rng.uniform(0.35, 0.7)
        at = eye + near * (hidden - eye)
        half = near * rng.uniform(0.006, 0.02, 3)
        kind = ("box", "cylinder", "ellipsoid")[rng.integers(3)]
        if kind == "cylinder":
            half[2] = 0.5
        if np.linalg.norm(points_m - at, axis=1).min() > 0.06:
            axes = axis_rotation(_Y, np.asarray(rng.normal(0, 40))) @ axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))
            solids.add(kind, at, axes, half, draw_material(rng, materials, look))


def stage_hand(
    rng: np.random.Generator,
    surface: HandSurface,
    hand: Hand,
    *,
    look: str,
    size: tuple[int, int],
    backgrounds: str | None,
    backdrops: list[str] | None = None,
    facing: list[str] | None = None,
    roll_deg: float | None = None,
) -> tuple[Scene, Float[np.ndarray, "21 3"]]:
    """The whole scene for a hand, in the given look, and the joints in its world (z up, meters)."""
    photo = look == "photo"
    turn = turned_to_camera(rng, hand, facing, roll_deg)
    points = hand.points_m @ turn.T
    materials = Materials()
    wardrobe = _dress(rng, materials, look)
    sleeve = wardrobe[SETTINGS.index("sleeve")]
    loose = rng.uniform(0.001, 0.012)
    covered = np.clip((sleeve - surface.along) / 0.05, 0.0, 1.0) * (surface.part == PARTS.index("left_forearm"))
    offset = loose * covered
    normals, blotch = hand.normals, np.zeros(len(offset))
    if photo:
        tilt, blotch = wrinkles(rng, surface, offset, rng.uniform(0.3, 1.1))
        normals = normals + tilt
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = (hand.vertices_m + offset[:, None] * hand.normals) @ turn.T
    camera = frame_hand(rng, points, size)
    lights = draw_lights(rng, look, camera)
    lights.shade_m = min(lights.shade_m, 0.02)  # wider, one ray a pixel turns skin to pepper
    scene = Scene(
        camera=camera,
        lights=lights,
        materials=materials,
        solids=Solids(),
        far=np.zeros((*size, 3)),
        vertices_m=vertices,
        normals=normals @ turn.T,
        blotch=blotch,
        wardrobe=wardrobe,
        seed=int(rng.integers(1, 2**20)),
    )
    # The far background has the size of the picture, so it draws from a generator of its own.
    behind = np.random.default_rng(rng.integers(2**32))
    if backgrounds is not None:
        far = scenery(behind, size, backgrounds)
    else:
        _things(rng, scene, points, look)
        if photo:
            far = photo_backdrop(behind, size, float(behind.uniform(-0.2, 1.3)))
        else:
            far = plain_backdrop(behind, size, backdrops)
    scene.far = _TO_LINEAR.take((far * (len(_TO_LINEAR) - 1)).astype(np.int32))
    return scene, points

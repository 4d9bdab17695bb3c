"""Puts a body in front of a camera: framing, lights, floor, furniture, things in the way."""

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.accessories import add_accessories
from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.bodies import Bodies, Body
from hamipose.synthetic.people.clothing import cloth_color, cloth_offset_m, dress, wrinkles
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.people.surface import bounds, lengths
from hamipose.synthetic.scene.backgrounds import photo_backdrop, plain_backdrop, scenery
from hamipose.synthetic.scene.scene import Camera, Lights, Materials, Scene, Solids

__all__ = ["draw_lights", "draw_material", "frame_body", "stage"]

_X, _Y, _Z = np.eye(3)
_TO_LINEAR = (np.linspace(0, 1, 1 << 12) ** 2.2).astype(np.float32)


def frame_body(
    rng: np.random.Generator, vertices_m: Float[np.ndarray, "vertex 3"], size: tuple[int, int], ground_m: float
) -> Camera:
    """A camera that has the body in view.

    Azimuth is any (in front a little more often), elevation from a little below to well above, roll mostly small; the
    distance sets the perspective, and the focal length then the body's size in the picture. One body in six is cut by
    the edge, one in sixteen so much that only a part of it is seen.
    """
    azimuth = rng.normal(0, 50) if rng.random() < 0.3 else rng.uniform(-180, 180)
    elevation = float(np.clip(rng.normal(8, 14), -25, 65))
    roll = rng.normal(0, 6) if rng.random() < 0.8 else rng.normal(0, 28)
    low, high = bounds(vertices_m)
    middle, extent = (low + high) / 2, float((high - low).max())
    distance = extent * rng.uniform(1.4, 4.5)
    towards = axis_rotation(_Z, np.asarray(azimuth)) @ axis_rotation(_X, np.asarray(-elevation)) @ -_Y
    position = middle + distance * towards
    position[2] = max(position[2], ground_m + 0.15)

    kind = rng.random()
    share = rng.uniform(0.52, 0.93) if kind < 0.84 else rng.uniform(0.95, 1.3) if kind < 0.94 else rng.uniform(1.3, 2.0)
    wanted = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    free = max(1 - share, 0.04, 0.8 * (share - 1)) * 0.5
    wanted = wanted + rng.uniform(-1, 1, 2) * free * np.array([size[1], size[0]]) * 0.8
    target, focal, roll_by = middle, float(size[1]), axis_rotation(_Z, np.asarray(roll))
    sparse = vertices_m[:: max(1, len(vertices_m) // 2000)]
    for _ in range(4):
        camera = Camera(position, roll_by @ _level_axes(target - position), focal, size)
        flat = camera.project(sparse)
        box_low, box_high = bounds(flat)
        focal *= share * min(size) / float((box_high - box_low).max())
        shift = (box_low + box_high) / 2 - wanted
        depth = np.linalg.norm(target - position)
        target = target + (np.array([*shift, 0.0]) * depth / focal) @ camera.rotation
    return camera


def _level_axes(forward: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Axes of a camera that looks in this direction: to the right, which is level, down, and forward."""
    x, y, z = forward / np.linalg.norm(forward)
    level = max(float(np.hypot(x, y)), 1e-6)
    return np.array([[y / level, -x / level, 0.0], [x * z / level, y * z / level, -level], [x, y, z]])


def draw_lights(rng: np.random.Generator, look: str, camera: Camera) -> Lights:
    """One hard light (plain), or one or two soft ones of warm or cold color (photo), and light from all around."""

    def towards(low: float, high: float) -> Float[np.ndarray, "3"]:
        azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(low, high))
        return np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])

    if look == "plain":
        ambient = rng.uniform(0.2, 0.4) * np.ones(3)
        return Lights(
            towards(25.0, 75.0)[None], np.full((1, 3), rng.uniform(0.55, 0.85)), np.zeros(1), ambient, ambient
        )
    count = int(rng.integers(1, 3))
    share = rng.dirichlet(np.full(count, 1.5))[:, None]
    warm = 1 + rng.normal(0, 0.12, (count, 1)) * np.array([1.0, 0.1, -1.0])
    strength = rng.uniform(0.6, 1.5)
    tint = 1 + rng.normal(0, 0.05, 3)
    return Lights(
        np.stack([towards(12.0, 85.0) for _ in range(count)]),
        strength * share * warm,
        rng.uniform(0.03, 0.4, count),
        rng.uniform(0.35, 0.75) * tint,
        rng.uniform(0.15, 0.4) * (1 + rng.normal(0, 0.1, 3)),
        shade_m=0.35,
    )


def _upright(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    return axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))


def draw_material(rng: np.random.Generator, materials: Materials, look: str) -> int:
    """The row of a new material for things: one color (plain), or a pattern (photo)."""
    if look == "plain":
        return materials.add(rng.uniform(0, 1, 3))
    first = rng.uniform(0.2, 0.9) * (1 + rng.normal(0, 0.12, 3))
    second = np.clip(first * rng.uniform(0.5, 1.4) + rng.normal(0, 0.08, 3), 0.02, 0.95)
    kind = ("plain", "grain", "grain", "stripes", "checks", "planks", "bricks", "blots", "tartan")[rng.integers(9)]
    return materials.add(first, second, kind, rng.uniform(2.5, 14), gloss=rng.uniform(0, 0.15), noise=0.07)


def _seat(rng: np.random.Generator, body: Body, solids: Solids, material: int, ground_m: float, heading: float) -> None:
    """Something under the pelvis and the thighs."""
    points = body.points_m
    low = min(points["left_hip"][2], points["right_hip"][2]) - 0.105 * body.height_m / 1.65
    tall = (low - ground_m) / 2
    if tall < 0.04:
        return
    turn = axis_rotation(_Z, np.asarray(heading))
    kind = "cylinder" if rng.random() < 0.3 else "box"
    half = np.array([rng.uniform(0.17, 0.5), rng.uniform(0.15, 0.19), tall])
    if kind == "cylinder":
        half[:2] = rng.uniform(0.15, 0.2)
    center = points["pelvis"] + turn @ np.array([0, rng.uniform(0.0, 0.05), 0])
    solids.add(kind, [center[0], center[1], ground_m + tall], turn.T, half, material)


def _surroundings(
    rng: np.random.Generator, body: Body, camera: Camera, solids: Solids, materials: Materials, ground_m: float
) -> None:
    """A wall now and then, furniture around the body, and sometimes something between it and the camera."""
    reach = float(lengths(body.vertices_m).max())
    ahead = camera.rotation[2].copy()
    ahead[2] = 0
    ahead /= max(np.linalg.norm(ahead), 1e-6)
    aside = np.array([-ahead[1], ahead[0], 0.0])
    if rng.random() < 0.55:
        turn = axis_rotation(_Z, np.asarray(rng.normal(0, 18)))
        axes = np.stack([turn @ aside, turn @ ahead, _Z])
        center = ahead * (reach + rng.uniform(0.6, 3.0)) + [0, 0, ground_m + 2.4]
        solids.add("box", center, axes, [8.0, 0.1, 2.4], draw_material(rng, materials, "photo"))
    for _ in range(int(rng.integers(2, 7))):
        half = rng.uniform(0.06, 0.55, 3)
        half[2] = rng.uniform(0.1, 1.1)
        kind = ("box", "box", "cylinder", "ellipsoid")[rng.integers(4)]
        gap = reach * rng.uniform(0.9, 1.5) + max(half[:2])
        angle = rng.uniform(-1.75, 1.75)
        at = gap * (np.cos(angle) * ahead + np.sin(angle) * aside)
        solids.add(
            kind, [at[0], at[1], ground_m + half[2]], _upright(rng), half, draw_material(rng, materials, "photo")
        )
    if rng.random() < 0.35:
        names = list(body.points_m)
        for _ in range(int(rng.integers(1, 3))):
            hidden = body.points_m[names[rng.integers(len(names))]]
            way = hidden - camera.position_m
            near = rng.uniform(0.45, 0.8)
            at = camera.position_m + near * way + rng.normal(0, 0.08, 3)
            if lengths(body.vertices_m - at).min() < 0.2:
                continue
            half = near * rng.uniform(0.03, 0.16, 3) * body.height_m / 1.6
            kind = ("box", "cylinder", "ellipsoid")[rng.integers(3)]
            axes = _upright(rng)
            if rng.random() < 0.4:  # a pole or a plant
                kind, half = "cylinder", np.array([0.02, 0.02, 1.5]) * [*(rng.uniform(0.7, 2.2, 1).repeat(2)), 1.0]
                axes = axis_rotation(_X, np.asarray(rng.normal(0, 20))) @ axes
            solids.add(kind, at, axes, half, draw_material(rng, materials, "photo"))


def stage(
    rng: np.random.Generator,
    surface: Bodies,
    body: Body,
    pose: Pose,
    *,
    look: str,
    size: tuple[int, int],
    heading: float,
    backgrounds: str | None,
    backdrops: list[str] | None = None,
) -> Scene:
    """The whole scene for a body, in the given look."""
    photo = look == "photo"
    materials, solids = Materials(), Solids()
    wardrobe = dress(rng, materials, look, surface.eye_m)
    add_accessories(rng, body, solids, materials, wardrobe, cloth_color(rng) if photo else rng.uniform(0, 1, 3))
    offset = cloth_offset_m(rng, surface, wardrobe)
    vertices = body.vertices_m + offset[:, None] * body.normals
    normals, blotch = body.normals, np.zeros(len(vertices))
    if photo:
        tilt, blotch = wrinkles(rng, surface, offset, rng.uniform(0.3, 1.1))
        normals = normals + tilt
        normals = normals / lengths(normals)[:, None]

    lowest = float(vertices[:, 2].min())
    ground = lowest - (rng.uniform(0.05, 0.7) if pose.airborne else 0.0)
    if pose.seated:
        ground = min(ground, float(body.points_m["pelvis"][2]) - 0.25 * body.height_m / 1.65)
    camera = frame_body(rng, vertices, size, ground)
    lights = draw_lights(rng, look, camera)
    scene = Scene(
        camera=camera,
        lights=lights,
        materials=materials,
        solids=solids,
        far=np.zeros((*size, 3)),
        vertices_m=vertices,
        normals=normals,
        blotch=blotch,
        wardrobe=wardrobe,
        seed=int(rng.integers(1, 2**20)),
    )
    pictures = rng.integers(2**32)
    with_ground = rng.random() < (1.0 if photo else 0.3)
    if backgrounds is None and with_ground:
        scene.ground_m, scene.ground_material = ground, _ground(rng, materials, look)
        if pose.seated:
            _seat(rng, body, solids, draw_material(rng, materials, look), ground, heading)
        if photo:
            _surroundings(rng, body, camera, solids, materials, ground)
    # The far background has the size of the picture, so it draws from a generator of its own.
    behind = np.random.default_rng(pictures)
    if backgrounds is not None:
        far = scenery(behind, size, backgrounds)
    elif photo:
        far = photo_backdrop(behind, size, _horizon(camera))
    else:
        far = plain_backdrop(behind, size, backdrops)
    scene.far = _TO_LINEAR.take((far * (len(_TO_LINEAR) - 1)).astype(np.int32))
    return scene


def _ground(rng: np.random.Generator, materials: Materials, look: str) -> int:
    if look == "plain":
        return materials.add(rng.uniform(0, 1, 3))
    tone = rng.uniform(0.3, 0.85) * (1 + rng.normal(0, 0.07, 3))
    kind = ("grain", "grain", "planks", "checks", "bricks", "blots", "plain")[rng.integers(7)]
    other = tone * rng.uniform(0.55, 1.35)
    return materials.add(tone, other, kind, rng.uniform(2.0, 8.0), noise=0.08)


def _horizon(camera: Camera) -> float:
    """Row of the horizon as a share of the picture's height, at its middle column."""
    level = camera.rotation[2].copy()
    level[2] = 0
    if np.linalg.norm(level) < 1e-3:
        return -1.0
    ahead = camera.rotation @ (level / np.linalg.norm(level))
    row = camera.intrinsics[1, 2] + camera.focal_px * ahead[1] / max(ahead[2], 1e-3)
    return float(np.clip(row / camera.size[0], -1.0, 2.0))

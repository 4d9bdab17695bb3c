"""Set up the scene of a person: camera, clothes, lights, floor, furniture and occluders."""

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.accessories import add_accessories
from hamipose.synthetic.people.articulation import axis_rotation
from hamipose.synthetic.people.body_model import Body, BodyModel
from hamipose.synthetic.people.clothing import draw_cloth_color, draw_cloth_offset_m, draw_outfit, draw_wrinkles
from hamipose.synthetic.people.poses import Pose
from hamipose.synthetic.scene.appearance import draw_lights, draw_material
from hamipose.synthetic.scene.backgrounds import draw_background
from hamipose.synthetic.scene.scene import Camera, Materials, Scene, Solids
from hamipose.synthetic.surface import coordinate_range, row_norms

__all__ = ["build_scene", "fit_camera"]

_X, _Y, _Z = np.eye(3)


def fit_camera(
    rng: np.random.Generator, vertices_m: Float[np.ndarray, "vertex 3"], size: tuple[int, int], ground_m: float
) -> Camera:
    """Draw a camera that has the body in view.

    The azimuth covers all directions (the front a little more often), the elevation ranges from slightly below to well
    above the body, and the roll is mostly small. The distance determines the perspective, and then the focal length the
    size of the body in the image. One in six bodies is truncated by the image border, one in sixteen so much that only
    a part of it is visible.

    Args:
        rng: random generator.
        vertices_m: vertices of the clothed body.
        size: height and width of the image in pixels.
        ground_m: height of the floor; the camera stays above it.
    """
    azimuth = rng.normal(0, 50) if rng.random() < 0.3 else rng.uniform(-180, 180)
    elevation = float(np.clip(rng.normal(8, 14), -25, 65))
    roll = rng.normal(0, 6) if rng.random() < 0.8 else rng.normal(0, 28)
    low, high = coordinate_range(vertices_m)
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
        box_low, box_high = coordinate_range(flat)
        focal *= share * min(size) / float((box_high - box_low).max())
        shift = (box_low + box_high) / 2 - wanted
        depth = np.linalg.norm(target - position)
        target = target + (np.array([*shift, 0.0]) * depth / focal) @ camera.rotation
    return camera


def _level_axes(forward: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return the right (horizontal), down and forward axes of a camera without roll."""
    x, y, z = forward / np.linalg.norm(forward)
    level = max(float(np.hypot(x, y)), 1e-6)
    return np.array([[y / level, -x / level, 0.0], [x * z / level, y * z / level, -level], [x, y, z]])


def _draw_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Draw a rotation about the vertical axis."""
    return axis_rotation(_Z, np.asarray(rng.uniform(0, 360)))


def _add_seat(
    rng: np.random.Generator, body: Body, solids: Solids, material: int, ground_m: float, heading: float
) -> None:
    """Add a seat under the pelvis and the thighs."""
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


def _add_surroundings(
    rng: np.random.Generator, body: Body, camera: Camera, solids: Solids, materials: Materials, ground_m: float
) -> None:
    """Add furniture around the body, and sometimes a wall and occluders in front of the body."""
    reach = float(row_norms(body.vertices_m).max())
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
            kind, [at[0], at[1], ground_m + half[2]], _draw_rotation(rng), half, draw_material(rng, materials, "photo")
        )
    if rng.random() < 0.35:
        names = list(body.points_m)
        for _ in range(int(rng.integers(1, 3))):
            hidden = body.points_m[names[rng.integers(len(names))]]
            near = rng.uniform(0.45, 0.8)
            at = camera.position_m + near * (hidden - camera.position_m) + rng.normal(0, 0.08, 3)
            if row_norms(body.vertices_m - at).min() < 0.2:
                continue
            half = near * rng.uniform(0.03, 0.16, 3) * body.height_m / 1.6
            kind = ("box", "cylinder", "ellipsoid")[rng.integers(3)]
            axes = _draw_rotation(rng)
            if rng.random() < 0.4:  # a pole or a plant
                kind, half = "cylinder", np.array([0.02, 0.02, 1.5]) * [*(rng.uniform(0.7, 2.2, 1).repeat(2)), 1.0]
                axes = axis_rotation(_X, np.asarray(rng.normal(0, 20))) @ axes
            solids.add(kind, at, axes, half, draw_material(rng, materials, "photo"))


def build_scene(
    rng: np.random.Generator,
    surface: BodyModel,
    body: Body,
    pose: Pose,
    *,
    style: str,
    size: tuple[int, int],
    heading: float,
    backgrounds: str | None,
    backdrops: list[str] | None = None,
) -> Scene:
    """Build the scene of a person.

    Args:
        rng: random generator.
        surface: body model.
        body: posed body.
        pose: pose of the body.
        style: "plain" or "photo".
        size: height and width of the image in pixels.
        heading: rotation of the body about the vertical axis in degrees.
        backgrounds: folder of photographs to use as background; default: a drawn background.
        backdrops: drawn backgrounds of the plain style; default: all.
    """
    photo = style == "photo"
    materials, solids = Materials(), Solids()
    outfit = draw_outfit(rng, materials, style, surface.eye_m)
    add_accessories(rng, body, solids, materials, outfit, draw_cloth_color(rng) if photo else rng.uniform(0, 1, 3))
    offset = draw_cloth_offset_m(rng, surface, outfit)
    vertices = body.vertices_m + offset[:, None] * body.normals
    normals, blotch = body.normals, np.zeros(len(vertices))
    if photo:
        tilt, blotch = draw_wrinkles(rng, surface, offset, rng.uniform(0.3, 1.1))
        normals = normals + tilt
        normals = normals / row_norms(normals)[:, None]

    lowest = float(vertices[:, 2].min())
    ground = lowest - (rng.uniform(0.05, 0.7) if pose.airborne else 0.0)
    if pose.seated:
        ground = min(ground, float(body.points_m["pelvis"][2]) - 0.25 * body.height_m / 1.65)
    camera = fit_camera(rng, vertices, size, ground)
    lights = draw_lights(rng, style)
    scene = Scene(
        camera=camera,
        lights=lights,
        materials=materials,
        solids=solids,
        background=np.zeros((*size, 3)),
        vertices_m=vertices,
        normals=normals,
        blotch=blotch,
        outfit=outfit,
        seed=int(rng.integers(1, 2**20)),
    )
    background_seed = rng.integers(2**32)
    with_ground = rng.random() < (1.0 if photo else 0.3)
    if backgrounds is None and with_ground:
        scene.ground_m, scene.ground_material = ground, _draw_ground_material(rng, materials, style)
        if pose.seated:
            _add_seat(rng, body, solids, draw_material(rng, materials, style), ground, heading)
        if photo:
            _add_surroundings(rng, body, camera, solids, materials, ground)
    # The number of draws of the background depends on the image size, so the background has a generator of its own.
    generator = np.random.default_rng(background_seed)
    scene.background = draw_background(generator, style, size, backgrounds, backdrops, _compute_horizon(camera))
    return scene


def _draw_ground_material(rng: np.random.Generator, materials: Materials, style: str) -> int:
    """Add the material of the floor, and return its row."""
    if style == "plain":
        return materials.add(rng.uniform(0, 1, 3))
    tone = rng.uniform(0.3, 0.85) * (1 + rng.normal(0, 0.07, 3))
    kind = ("grain", "grain", "planks", "checks", "bricks", "blots", "plain")[rng.integers(7)]
    other = tone * rng.uniform(0.55, 1.35)
    return materials.add(tone, other, kind, rng.uniform(2.0, 8.0), noise=0.08)


def _compute_horizon(camera: Camera) -> float:
    """Return the row of the horizon in the middle column, as a fraction of the image height."""
    level = camera.rotation[2].copy()
    level[2] = 0
    if np.linalg.norm(level) < 1e-3:
        return -1.0
    ahead = camera.rotation @ (level / np.linalg.norm(level))
    row = camera.intrinsics[1, 2] + camera.focal_px * ahead[1] / max(ahead[2], 1e-3)
    return float(np.clip(row / camera.size[0], -1.0, 2.0))

"""Accessories modeled as solids: the peak of a cap, long hair, a backpack or a skirt."""

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.body_model import Body
from hamipose.synthetic.people.clothing import OUTFIT_FIELDS
from hamipose.synthetic.scene.scene import Materials, Solids

__all__ = ["add_accessories"]


def add_accessories(
    rng: np.random.Generator,
    body: Body,
    solids: Solids,
    materials: Materials,
    outfit: Float[np.ndarray, " setting"],
    color: Float[np.ndarray, "3"],
) -> None:
    """Draw the accessories of a person and add them to `solids`.

    Args:
        rng: random generator.
        body: posed body.
        solids: solids of the scene.
        materials: materials of the scene; a backpack adds one.
        outfit: outfit of the person, a vector of `OUTFIT_FIELDS`.
        color: color of a backpack, in sRGB.
    """
    w = dict(zip(OUTFIT_FIELDS, outfit, strict=True))
    if "nose" not in body.points_m:  # the body of meshtto, without points of the face
        return
    points = body.points_m
    middle = (points["left_ear"] + points["right_ear"]) / 2
    _, back, up = head = _axes(points["left_ear"] - points["right_ear"], points["head"] - middle)
    size = float(np.linalg.norm(points["left_ear"] - points["right_ear"])) / 0.148

    def on_head(kind: str, behind: float, above: float, half: tuple[float, float, float], material: float) -> None:
        center = middle + size * (behind * back + above * up)
        solids.add(kind, center, head, size * np.array(half), int(material))

    if w["hat_line"] < 5 and rng.random() < 0.65:
        reach = rng.uniform(0.035, 0.06)
        on_head("ellipsoid", -0.085 - reach, 0.062, (0.068, reach + 0.02, 0.009), w["hat"])
    hair_style = rng.random()
    if w["hairline"] < 5:
        if hair_style < 0.2:  # shoulder-length hair
            long = rng.uniform(0.07, 0.15)
            on_head("ellipsoid", 0.045, 0.04 - long, (rng.uniform(0.07, 0.09), 0.05, long), w["hair"])
        elif hair_style < 0.3:  # a pony tail
            long = rng.uniform(0.06, 0.12)
            on_head("ellipsoid", 0.12, 0.05 - long, (0.03, 0.035, long), w["hair"])
        elif hair_style < 0.36:  # a bun
            on_head("ellipsoid", 0.11, rng.uniform(-0.02, 0.09), (0.04, 0.035, 0.04), w["hair"])

    trunk = _axes(points["left_shoulder"] - points["right_shoulder"], points["thorax"] - points["pelvis"])
    tall = float(np.linalg.norm(points["thorax"] - points["pelvis"]))
    if rng.random() < 0.07:
        half = tall * np.array([rng.uniform(0.22, 0.34), rng.uniform(0.1, 0.18), rng.uniform(0.28, 0.42)])
        center = points["pelvis"] + tall * rng.uniform(0.55, 0.7) * trunk[2] + (0.17 * tall + half[1]) * trunk[1]
        solids.add("box", center, trunk, half, materials.add(color, noise=0.05))
    if w["skirt"] > 0 and rng.random() < 0.6:
        _add_skirt(rng, points, solids, int(w["top"]))


def _axes(left: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return unit axes to the left (as given), to the back and up."""
    left = left / np.linalg.norm(left)
    back = np.cross(up, left)
    back = back / np.linalg.norm(back)
    return np.stack([left, back, np.cross(left, back)])


def _add_skirt(
    rng: np.random.Generator, points: dict[str, Float[np.ndarray, "3"]], solids: Solids, material: int
) -> None:
    """Add a wide skirt if the thighs are close enough to each other."""
    knees = (points["left_knee"] + points["right_knee"]) / 2
    thigh = float(np.linalg.norm(points["left_knee"] - points["left_hip"]))
    down = knees - points["pelvis"]
    reach = float(np.linalg.norm(down))
    apart = float(np.linalg.norm(points["left_knee"] - points["right_knee"])) / 2
    if reach < 0.8 * thigh or apart > 0.4 * thigh:
        return
    axes = _axes(points["left_hip"] - points["right_hip"], -down)
    half = np.array([max(0.38 * thigh, apart + 0.2 * thigh), 0.36 * thigh, rng.uniform(0.3, 0.55) * reach])
    solids.add("cylinder", points["pelvis"] + (half[2] - 0.1 * thigh) * down / reach, axes, half, material)

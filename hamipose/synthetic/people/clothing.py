"""Random outfits: colors, textures, lengths of sleeves and trouser legs, hair, and the looseness of clothes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from hamipose.synthetic.people.body_model import PARTS, BodyModel
from hamipose.synthetic.scene.scene import Materials
from hamipose.synthetic.surface import Surface

__all__ = [
    "OUTFIT_FIELDS",
    "draw_cloth_color",
    "draw_cloth_offset_m",
    "draw_outfit",
    "draw_skin_color",
    "draw_wrinkles",
]

#: Names of the values of an outfit; `textures.outfit_material` reads them by position. The first line and "print" to
#: "pockets" are rows of the scene's materials. The second line and the ends of prints are positions along a limb or the
#: trunk (see `BodyModel.along`); the others are meters on the body at rest.
OUTFIT_FIELDS = (
    *("skin", "top", "bottom", "shoes", "hair", "eyes", "socks", "opened"),
    *("sleeve", "legs", "hem", "neckline", "waist", "shoe_height", "sock_height", "hairline", "skirt"),
    *("print", "back_print", "lips", "white", "pockets"),
    *("neck_depth", "opening", "beard", "hat_line", "eye_aside", "eye_back", "eye_up"),
    *("print_width", "print_low", "print_high", "back_width", "back_low", "back_high", "pocket", "toe", "hat"),
)


def _colors(hexes: str) -> Float[np.ndarray, "color 3"]:
    return np.array([list(bytes.fromhex(h)) for h in hexes.split()]) / 255


_SKIN = _colors("f6d6be e8bea0 d6a47e b8825c 8c5c3e 623e2a 422a1e")  # from light to dark
_HAIR = _colors("181412 2e2018 543822 8a6038 c4a068 964624 969492 d7d4d0")
_CLOTH = _colors(
    "1c1e24 3c3e44 787a7e c8c8c6 eceae4 222c50 344e82 607ca0 782226 b03430"
    " c86e3c d6b25c 42543a 687a54 5c4230 9e8062 603c62 c496a0 306e70 96aaba"
)


def draw_skin_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Draw a skin color of any tone, in sRGB."""
    at = rng.uniform(0, len(_SKIN) - 1)
    low = int(at)
    return np.clip(_SKIN[low] + (at - low) * (_SKIN[low + 1] - _SKIN[low]) + rng.normal(0, 0.015, 3), 0, 1)


def draw_cloth_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Draw a typical color of clothes, in sRGB."""
    return np.clip(_CLOTH[rng.integers(len(_CLOTH))] * rng.uniform(0.75, 1.15) + rng.normal(0, 0.02, 3), 0, 1)


def draw_outfit(
    rng: np.random.Generator, materials: Materials, style: str, eye_m: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " setting"]:
    """Draw an outfit, and append its materials to `materials`.

    Front and back differ in the neckline, the opening of a jacket, prints, pockets and the face, because left and right
    can only be distinguished by front and back.

    Args:
        rng: random generator.
        materials: materials of the scene.
        style: "plain" for arbitrary flat colors, sometimes two; "photo" for realistic cloth and skin.
        eye_m: position of the left eye on the body at rest.

    Returns:
        The outfit as a vector of `OUTFIT_FIELDS`.
    """
    photo = style == "photo"
    w = dict.fromkeys(OUTFIT_FIELDS, 0.0)
    skin = draw_skin_color(rng)
    if photo:
        w["skin"] = materials.add(skin, gloss=rng.uniform(0.0, 0.12), noise=0.05)
    else:
        w["skin"] = materials.add(skin)

    def garment(patterned: float) -> int:
        """Add a material of cloth that has a pattern with this probability."""
        first, second = (
            (draw_cloth_color(rng), draw_cloth_color(rng)) if photo else (rng.uniform(0, 1, 3), rng.uniform(0, 1, 3))
        )
        if rng.random() >= patterned:
            return materials.add(first, noise=0.06 if photo else 0.0)
        if not photo:
            kind = ("rings", "stripes")[rng.integers(2)]
            return materials.add(first, second, kind, rng.uniform(3, 8))
        kind = ("rings", "stripes", "checks", "dots", "blots", "tartan", "flowers", "grain")[rng.integers(8)]
        return materials.add(first, second, kind, rng.uniform(6, 26), noise=0.06)

    outfit_kind = rng.choice(["separates", "shirtless", "one_piece", "skirt"], p=[0.76, 0.07, 0.08, 0.09])
    w["bottom"] = garment(0.3 if photo else 0.12)
    w["top"] = w["bottom"] if outfit_kind == "one_piece" else garment(0.55 if photo else 0.25)
    w["sleeve"] = rng.choice([-1.0, 0.15, 0.6, 0.85, 1.4, 1.95, 1.95]) + rng.uniform(-0.08, 0.05)
    w["legs"] = rng.choice([0.25, 0.6, 0.9, 1.5, 1.92, 1.92, 1.92, 1.92]) + rng.uniform(-0.1, 0.06)
    w["waist"] = rng.uniform(0.12, 0.28)
    w["hem"] = w["waist"] - rng.uniform(0.0, 0.22) if rng.random() < 0.8 else w["waist"] + rng.uniform(0, 0.15)
    w["neckline"] = rng.uniform(0.86, 1.1)
    w["skirt"] = -9.0
    if outfit_kind == "shirtless":
        w["hem"], w["sleeve"] = 9.0, -9.0
    if outfit_kind == "skirt":
        w["skirt"], w["hem"], w["legs"] = rng.uniform(0.4, 0.95), -9.0, -9.0
    shoe = draw_cloth_color(rng) if photo else rng.uniform(0, 1, 3)
    w["shoes"] = materials.add(shoe, gloss=0.15 if photo else 0.0, noise=0.04 if photo else 0.0)
    w["shoe_height"] = 9.0 if rng.random() < 0.12 else rng.uniform(1.88, 2.02)
    w["socks"] = materials.add(_CLOTH[rng.integers(len(_CLOTH))])
    w["sock_height"] = rng.uniform(1.6, 1.95) if rng.random() < 0.4 else 9.0
    hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.1)
    if photo:
        w["hair"] = materials.add(hair * 0.8, hair * 1.25, "grain", rng.uniform(30, 80), gloss=0.1, noise=0.12)
    else:
        w["hair"] = materials.add(hair)
    w["hairline"] = 9.0 if rng.random() < 0.06 else rng.normal(0.0, 0.012)
    w["eyes"] = materials.add(np.array([0.16, 0.12, 0.1]) * rng.uniform(0.6, 1.8))
    w["white"] = materials.add(np.full(3, rng.uniform(0.75, 0.95)))
    w["lips"] = materials.add(np.clip(skin * [0.85, 0.6, 0.6] + [0.06, 0.0, 0.0], 0, 1))
    w["eye_aside"], w["eye_back"], w["eye_up"] = eye_m
    w["beard"] = float(rng.random() < 0.15)
    _draw_front_details(rng, w, garment)
    return np.array([w[name] for name in OUTFIT_FIELDS])


def _draw_front_details(rng: np.random.Generator, w: dict[str, Any], garment: Callable[[float], int]) -> None:
    """Draw the details that distinguish the front of an outfit from its back."""
    w["neck_depth"] = rng.uniform(0.06, 0.34) if rng.random() < 0.45 else rng.uniform(0.0, 0.06)
    w["opened"], w["opening"] = garment(0.2), -1.0
    if rng.random() < 0.35:  # a zipper, buttons or an open jacket
        w["opening"] = rng.uniform(0.006, 0.014) if rng.random() < 0.45 else rng.uniform(0.02, 0.08)
    for name, chance in (("print", 0.4), ("back", 0.25)):
        w["print" if name == "print" else "back_print"] = garment(0.4)
        w[f"{name}_width"] = rng.uniform(0.035, 0.12) if rng.random() < chance else -1.0
        w[f"{name}_low"] = rng.uniform(0.35, 0.75)
        w[f"{name}_high"] = min(w[f"{name}_low"] + rng.uniform(0.07, 0.4), 0.92)
    w["pockets"] = garment(0.0)
    w["pocket"] = rng.uniform(0.018, 0.04) if rng.random() < 0.35 else -1.0
    w["toe"] = rng.uniform(-0.165, -0.13) if rng.random() < 0.3 else -9.0
    w["hat"] = garment(0.2)
    w["hat_line"] = rng.uniform(-0.012, 0.02) if rng.random() < 0.16 else 9.0


def draw_cloth_offset_m(
    rng: np.random.Generator, surface: BodyModel, outfit: Float[np.ndarray, " setting"]
) -> Float[np.ndarray, " vertex"]:
    """Draw the distance of clothes, shoes and hair from the skin, in meters."""
    w = dict(zip(OUTFIT_FIELDS, outfit, strict=True))
    part, along = surface.part, surface.along
    top, bottom, shoe, volume = rng.uniform(0.002, 0.018), rng.uniform(0.002, 0.018), 0.008, rng.uniform(0.006, 0.03)
    if rng.random() < 0.25:  # loose clothes
        top, bottom = top + rng.uniform(0.0, 0.02), bottom + rng.uniform(0.0, 0.02)
    arm = (part >= PARTS.index("left_upper_arm")) & (part <= PARTS.index("right_hand"))
    leg = part >= PARTS.index("left_thigh")

    def until(end: float, width: float) -> Float[np.ndarray, " vertex"]:
        """Return 1 before a position along the limb and 0 after it, with a linear transition."""
        return np.clip((end - along) / width, 0.0, 1.0)

    out = np.where(part == 0, np.maximum(bottom * until(w["waist"], 0.05), top * until(w["neckline"], 0.12)), 0.0)
    if w["hem"] > 5:
        out = np.where(part == 0, bottom * until(w["waist"], 0.05), out)
    out = np.where(arm, 0.8 * top * until(min(w["sleeve"], 1.93), 0.1), out)
    trousers = np.maximum(bottom * until(w["legs"], 0.06), top * until(w["skirt"], 0.06))
    out = np.where(leg, np.maximum(trousers, shoe * np.clip((along - w["shoe_height"]) / 0.04, 0, 1)), out)
    if min(w["hairline"], w["hat_line"]) < 5:
        grown = np.clip((surface.hair - min(w["hairline"], w["hat_line"])) / 0.03, 0.0, 1.0)
        out = np.where(part == PARTS.index("head"), volume * grown, out)
    return out


def draw_wrinkles(
    rng: np.random.Generator, surface: Surface, offset_m: Float[np.ndarray, " vertex"], strength: float
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, " vertex"]]:
    """Draw wrinkles of cloth as offsets of the normals, and relative variations of brightness.

    Both are sums of a few waves over the body at rest, so they move with the cloth.
    """
    frequencies = rng.normal(0, 1, (6, 3))
    frequencies *= (rng.uniform(18, 60, 6) / np.linalg.norm(frequencies, axis=1))[:, None]
    phase = (surface.cloth_m @ frequencies.T + rng.uniform(0, 2 * np.pi, 6)).astype(np.float32)
    clothed = np.clip(offset_m / 0.006, 0.0, 1.0)
    tilt = (
        (np.cos(phase) * clothed[:, None])
        @ (frequencies / np.linalg.norm(frequencies, axis=1)[:, None])
        * strength
        * 0.25
    )
    return tilt, np.sin(0.35 * phase).sum(1) * 0.03 * strength

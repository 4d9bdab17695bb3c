"""Rendering styles, and random lights and materials of a scene."""

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.synthetic.scene.scene import Lights, Materials

__all__ = ["STYLES", "check_style", "draw_lights", "draw_material"]

#: The two rendering styles (domains); their positions are part of the seed.
STYLES = ("plain", "photo")


def check_style(style: str) -> None:
    """Raise a :class:`UserError` if a style is unknown."""
    if style not in STYLES:
        raise UserError(f"style is {style!r}, but must be one of {', '.join(STYLES)}")


def draw_lights(rng: np.random.Generator, style: str) -> Lights:
    """Draw ambient light with one hard light (plain), or with one or two soft lights of warm or cold color (photo)."""

    def towards(low: float, high: float) -> Float[np.ndarray, "3"]:
        azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(low, high))
        return np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])

    if style == "plain":
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


def draw_material(rng: np.random.Generator, materials: Materials, style: str) -> int:
    """Add a material for objects, in one color (plain) or with a pattern (photo), and return its row."""
    if style == "plain":
        return materials.add(rng.uniform(0, 1, 3))
    first = rng.uniform(0.2, 0.9) * (1 + rng.normal(0, 0.12, 3))
    second = np.clip(first * rng.uniform(0.5, 1.4) + rng.normal(0, 0.08, 3), 0.02, 0.95)
    kind = ("plain", "grain", "grain", "stripes", "checks", "planks", "bricks", "blots", "tartan")[rng.integers(9)]
    return materials.add(first, second, kind, rng.uniform(2.5, 14), gloss=rng.uniform(0, 0.15), noise=0.07)

"""Backgrounds at infinity: noise and polygons (plain style), a blurred landscape (photo style), or photographs."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int

from hamipose.errors import UserError
from hamipose.io.image_file import read_image
from hamipose.io.image_folder import list_images

__all__ = ["BACKDROPS", "draw_background", "list_photographs"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_TO_LINEAR = (np.linspace(0, 1, 1 << 12) ** 2.2).astype(np.float32)

#: Drawn backgrounds of the plain style and their frequency.
BACKDROPS = {"noise": 0.35, "polygons": 0.4, "gradient": 0.15, "flat": 0.1}


def draw_background(
    rng: np.random.Generator,
    style: str,
    size: tuple[int, int],
    photographs: str | None = None,
    backdrops: list[str] | None = None,
    horizon: float | None = None,
) -> Float[np.ndarray, "height width 3"]:
    """Draw the background of a scene, in linear RGB.

    Args:
        rng: random generator.
        style: "plain" or "photo".
        size: height and width in pixels.
        photographs: folder of photographs to crop the background from; default: a drawn background.
        backdrops: drawn backgrounds of the plain style; default: all.
        horizon: row of the horizon of the photo style, as a fraction of the height; default: random.
    """
    if photographs is not None:
        image = _crop_photograph(rng, size, photographs)
    elif style == "photo":
        image = _draw_landscape(rng, size, float(rng.uniform(-0.2, 1.3)) if horizon is None else horizon)
    else:
        image = _draw_plain(rng, size, backdrops)
    return _TO_LINEAR.take((image * (len(_TO_LINEAR) - 1)).astype(np.int32))


def _draw_plain(
    rng: np.random.Generator, size: tuple[int, int], kinds: list[str] | None = None
) -> Float[np.ndarray, "height width 3"]:
    """Draw noise, polygons, a gradient or one color, or one of the given kinds; sRGB in [0, 1]."""
    height, width = size
    names = list(BACKDROPS) if kinds is None else kinds
    shares = np.array([BACKDROPS[name] for name in names])
    kind = rng.choice(names, p=shares / shares.sum())
    base = rng.uniform(0, 1, 3)
    image = np.broadcast_to(base, (height, width, 3)).astype(np.float32).copy()
    if kind == "noise":
        cells = int(rng.choice([4, 8, 16, 32, 64]))
        coarse = rng.uniform(0, 1, (cells, cells, 3)).astype(np.float32)
        how = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
        blend = rng.uniform(0.3, 1.0)
        image = image * (1 - blend) + blend * cv2.resize(coarse, (width, height), interpolation=how)
    elif kind == "polygons":
        for _ in range(rng.integers(4, 16)):
            corners = rng.uniform(-0.2, 1.2, (rng.integers(3, 7), 2)) * [width, height]
            cv2.fillPoly(image, [corners.astype(np.int32)], rng.uniform(0, 1, 3).tolist())
    elif kind == "gradient":
        other, direction = rng.uniform(0, 1, 3), rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        share = (0.5 + (x - 0.5) * np.cos(direction) + (y - 0.5) * np.sin(direction))[..., None]
        image = base * (1 - share) + other * share
    return np.clip(image, 0, 1)


def _draw_landscape(
    rng: np.random.Generator, size: tuple[int, int], horizon: float
) -> Float[np.ndarray, "height width 3"]:
    """Draw sky with blurred trees and houses along the horizon; sRGB in [0, 1].

    Args:
        rng: random generator.
        size: height and width in pixels.
        horizon: row of the horizon as a fraction of the height; may be outside the image.
    """
    height, width = size
    rows = np.linspace(0, 1, height)[:, None, None]
    top, low = rng.uniform([0.3, 0.4, 0.5], [0.7, 0.8, 0.95]), rng.uniform([0.6, 0.6, 0.6], [0.95, 0.95, 0.95])
    if rng.random() < 0.35:  # indoors or dusk
        top, low = rng.uniform(0.1, 0.5, 3), rng.uniform(0.2, 0.6, 3)
    share = np.clip(rows / max(horizon, 0.05), 0, 1)
    image = np.repeat((top * (1 - share) + low * share).astype(np.float32), width, axis=1)
    tones = rng.uniform(0.1, 0.7, (4, 3)) * rng.uniform(0.5, 1.0)
    line = horizon * height
    for _ in range(rng.integers(6, 22)):
        x, wide, tall = rng.uniform(-0.1, 1.1) * width, rng.uniform(0.03, 0.3) * width, rng.uniform(0.05, 0.7) * height
        tone = np.clip(tones[rng.integers(4)] + rng.normal(0, 0.06, 3), 0, 1)
        if rng.random() < 0.5:
            cv2.rectangle(image, (int(x), int(line - tall)), (int(x + wide), int(line + height)), tone.tolist(), -1)
            step = max(3, int(wide / 4))
            columns = _grid(int(x) + 2, int(x + wide) - 2, step, step // 2, width)
            image[np.ix_(_grid(int(line - tall) + 3, int(line), step + 2, step // 2, height), columns)] = tone * 0.6
        else:
            spread = rng.standard_normal((12, 5)) * [wide / 2, tall / 3, 0.05, 0.05, 0.05]
            leaves = spread + np.array([x, line - tall / 2, *tone])
            leaves[:, 2:].clip(0, 1, out=leaves[:, 2:])
            for column, row, *color in leaves.tolist():
                cv2.circle(image, (int(column), int(row)), max(1, int(wide / 4)), color, -1)
            cv2.rectangle(image, (int(x) - 1, int(line - tall / 2)), (int(x) + 2, int(line)), (tone * 0.5).tolist(), -1)
    # Coarse and fine variations of brightness.
    uneven = cv2.resize(0.03 * rng.standard_normal((6, 6, 3), np.float32), (24, 24), interpolation=cv2.INTER_CUBIC)
    uneven = uneven + 0.03 * rng.standard_normal((24, 24, 3), np.float32)
    image += cv2.resize(uneven, (width, height), interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.2) * width / 256)
    return np.clip(blurred, 0, 1, out=blurred)


def _grid(start: int, stop: int, step: int, width: int, end: int) -> Int[np.ndarray, " index"]:
    """Return the indices in [0, end) covered by bars of width + 1 that start at range(start, stop, step)."""
    indices = (np.arange(start, stop, step)[:, None] + np.arange(width + 1)).ravel()
    return indices[(indices >= 0) & (indices < end)]


@lru_cache(maxsize=4)
def list_photographs(folder: str) -> tuple[Path, ...]:
    """Return the images in a folder and its subfolders, sorted.

    Raises:
        UserError: the folder does not exist, or contains no image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"backgrounds {folder} is not a folder; it must be a folder of photographs")
    paths = tuple(path for path in list_images(root).paths if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise UserError(f"backgrounds {folder} contains no image ({', '.join(_SUFFIXES)})")
    return paths


def _crop_photograph(
    rng: np.random.Generator, size: tuple[int, int], folder: str
) -> Float[np.ndarray, "height width 3"]:
    """Return a random crop of a random photograph; sRGB in [0, 1].

    Raises:
        UserError: the image cannot be read.
    """
    paths = list_photographs(folder)
    path = paths[rng.integers(len(paths))]
    image = read_image(path, upright=True)
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1]) * rng.uniform(0.6, 1.0)
    tall, wide = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
    y, x = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    crop = image[y : y + tall, x : x + wide]
    return cv2.resize(crop, (size[1], size[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

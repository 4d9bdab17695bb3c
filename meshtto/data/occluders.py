"""Occluders added to people in training: drawn ones, or the Pascal VOC objects of Sárándi et al. (IROS 2018)."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.errors import UserError
from meshtto.data.npz import read_npy

__all__ = ["add_occluders", "draw_occluder", "paste", "read_occluders"]


@lru_cache(maxsize=2)
def read_occluders(path: str) -> tuple[UInt8[np.ndarray, "height width 4"], ...]:
    """Read the cutouts of ``pascal_occluders.npy``, an array of RGBA images, without executing anything in it.

    Raises:
        UserError: the file is missing, or contains something else.
    """
    cutouts = list(read_npy(Path(path), "occluders", "give pascal_occluders.npy, or leave them out for drawn ones"))
    shapes = [getattr(p, "shape", ()) for p in cutouts]
    if not cutouts or any(len(s) != 3 or s[2] != 4 for s in shapes):
        raise UserError(f"occluders {path} contain {shapes[:1] or 'nothing'}, expected images with height, width and 4")
    return tuple(np.asarray(p, np.uint8) for p in cutouts)


def draw_occluder(rng: np.random.Generator, side: int = 96) -> UInt8[np.ndarray, "side side 4"]:
    """Draw a polygon, an ellipse or a bar in one or two colors, with soft noise."""
    alpha = np.zeros((side, side), np.uint8)
    middle, kind = side / 2, rng.integers(3)
    if kind == 0:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = rng.uniform(0.5, 1.0, len(angles)) * (middle - 1)
        points = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
        cv2.fillPoly(alpha, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    else:
        axes = rng.uniform((0.4, 0.4) if kind == 1 else (0.8, 0.1), (1.0, 1.0) if kind == 1 else (1.0, 0.3)) * (
            middle - 1
        )
        turn = float(rng.uniform(0, 180))
        if kind == 1:
            cv2.ellipse(alpha, ((middle, middle), tuple(2 * axes), turn), 255, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints(((middle, middle), tuple(1.4 * axes), turn))
            cv2.fillPoly(alpha, [np.round(box).astype(np.int32)], 255, cv2.LINE_AA)
    first, second = rng.uniform(0, 255, (2, 3))
    waves = np.sin(np.linspace(0, rng.uniform(2, 30), side))[:, None] * np.sin(np.linspace(0, rng.uniform(2, 30), side))
    color = np.where((waves > rng.uniform(-1, 1.5))[..., None], second, first) + rng.normal(0, 12, (side, side, 1))
    return np.concatenate([np.clip(color, 0, 255).astype(np.uint8), alpha[..., None]], -1)


def paste(
    image: UInt8[np.ndarray, "height width 3"],
    cutout: UInt8[np.ndarray, "height2 width2 4"],
    center_px: tuple[float, float],
) -> None:
    """Paste a cutout onto an image, in place; parts beyond the edge are cut off."""
    height, width = cutout.shape[:2]
    left, top = round(center_px[0] - width / 2), round(center_px[1] - height / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, image.shape[1]), min(top + height, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = cutout[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    alpha = part[..., 3:] / 255
    image[y0:y1, x0:x1] = np.round(alpha * part[..., :3] + (1 - alpha) * image[y0:y1, x0:x1]).astype(np.uint8)


def add_occluders(
    image: UInt8[np.ndarray, "height width 3"],
    most: int,
    rng: np.random.Generator,
    cutouts: tuple[UInt8[np.ndarray, "_ _ 4"], ...] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of a crop with one to `most` cutouts at random positions, scaled by 0.2 to 1 at 256 px."""
    if most < 1:
        return image
    image = np.ascontiguousarray(image).copy()
    relative = min(image.shape[:2]) / 256
    for _ in range(int(rng.integers(1, most + 1))):
        cutout = draw_occluder(rng) if cutouts is None else cutouts[int(rng.integers(len(cutouts)))]
        scale = float(rng.uniform(0.2, 1.0)) * relative
        size = max(1, round(cutout.shape[1] * scale)), max(1, round(cutout.shape[0] * scale))
        paste(
            image,
            cv2.resize(cutout, size, interpolation=cv2.INTER_AREA),
            (float(rng.uniform(0, image.shape[1])), float(rng.uniform(0, image.shape[0]))),
        )
    return image

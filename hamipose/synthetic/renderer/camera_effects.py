"""From linear light to a picture file: exposure, lens, sensor, compression."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["encode", "finish"]


_STEPS = 1 << 14
_CURVE = (np.linspace(0, 1, _STEPS) ** (1 / 2.2)).astype(np.float32)


def _srgb(linear: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """Display values of linear light, by table: the power function is slow."""
    steps = np.clip(linear, 0, 1)
    steps *= _STEPS - 1
    return _CURVE.take(steps.astype(np.int32))


def finish(
    rng: np.random.Generator, linear: Float[np.ndarray, "height width 3"], look: str
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture as a camera of that look delivers it, before compression.

    Args:
        rng: draws the camera's faults and its noise.
        linear: linear RGB.
        look: ``"plain"`` only converts; ``"photo"`` adds exposure, color cast, vignette, blur, noise.
    """
    if look == "plain":
        return np.round(_srgb(linear) * 255).astype(np.uint8)
    height, width = linear.shape[:2]
    cast = np.exp(rng.normal(0, 0.09, 3)) * np.exp(rng.normal(0.05, 0.2))
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - rng.uniform(0, 0.35) * (x * x + y * y) / 2
    # The picture is worked on in place: at this size, passes over new memory take longer than the arithmetic.
    image = cast.astype(np.float32) * vignette[..., None]
    image *= linear
    bright = image - 0.6
    np.maximum(bright, 0, out=bright)
    bright *= 0.6
    bright += 1
    image /= bright  # highlights roll off
    per_px = width / 256
    if rng.random() < 0.25:
        length, angle = rng.uniform(1.5, 5.0) * per_px, rng.uniform(0, np.pi)
        side = int(np.ceil(length)) | 1
        kernel = np.zeros((side, side), np.float32)
        middle = (side - 1) / 2
        step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        start, end = ([round(float(v)) for v in (middle + s * step) * 16] for s in (-1, 1))
        cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
        if kernel.sum() > 0:
            image = cv2.filter2D(image, -1, kernel / kernel.sum())
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3) * per_px)
    shot, read = rng.uniform(0.005, 0.05), rng.uniform(0.002, 0.012)
    noise = _normal(rng, image.shape)
    deviation = np.sqrt(np.maximum(image, 0, out=bright), out=bright)
    deviation *= 0.8 * shot
    deviation += read
    noise *= deviation
    image += noise
    contrast, lift = rng.uniform(0.8, 1.15), rng.uniform(-0.03, 0.05)
    saturation = rng.uniform(0.65, 1.15)
    # Contrast about the middle, then away from gray: both at once, as they are linear; the last column is added.
    colors = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    change = np.column_stack([colors, np.full(3, 0.5 + lift - 0.5 * contrast)]) * 255
    shown = cv2.transform(_srgb(image), change)
    return np.round(np.clip(shown, 0, 255, out=shown), out=shown).astype(np.uint8)


@lru_cache(maxsize=1)
def _quantiles() -> Float[np.ndarray, " step"]:
    """Of the normal distribution, in the middles of equal shares."""
    from scipy.special import ndtri

    return ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "*shape"]:
    """Independent normal numbers, by table: four times as quick as numpy's, and as good for what ends in 8 bits."""
    steps = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), "<u2")
    return _quantiles().take(steps).reshape(shape)


def encode(rng: np.random.Generator, image: UInt8[np.ndarray, "height width 3"], look: str) -> bytes:
    """JPEG: nearly lossless for ``"plain"``, as strongly compressed as photographs are for ``"photo"``."""
    quality = 95 if look == "plain" else int(rng.integers(45, 93))
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError("the JPEG encoder failed")
    return data.tobytes()

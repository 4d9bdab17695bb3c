"""Convert linear light to an image file: exposure, lens, sensor, compression."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["apply_camera_effects", "encode_jpeg"]


_STEPS = 1 << 14
_CURVE = (np.linspace(0, 1, _STEPS) ** (1 / 2.2)).astype(np.float32)


def _srgb(linear: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """Convert linear light to sRGB with a table, because the power function is slow."""
    steps = np.clip(linear, 0, 1)
    steps *= _STEPS - 1
    return _CURVE.take(steps.astype(np.int32))


def apply_camera_effects(
    rng: np.random.Generator, linear: Float[np.ndarray, "height width 3"], style: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the image of a camera, before compression.

    Args:
        rng: random generator.
        linear: image in linear RGB.
        style: "plain" only converts to sRGB; "photo" adds exposure, color cast, vignette, blur and noise.
    """
    if style == "plain":
        return np.round(_srgb(linear) * 255).astype(np.uint8)
    height, width = linear.shape[:2]
    cast = np.exp(rng.normal(0, 0.09, 3)) * np.exp(rng.normal(0.05, 0.2))
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    vignette = 1 - rng.uniform(0, 0.35) * (x * x + y * y) / 2
    # In-place operations: at this size, new memory costs more time than the arithmetic.
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
    # Contrast and saturation as one affine map of the colors; the last column is the offset.
    colors = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    change = np.column_stack([colors, np.full(3, 0.5 + lift - 0.5 * contrast)]) * 255
    shown = cv2.transform(_srgb(image), change)
    return np.round(np.clip(shown, 0, 255, out=shown), out=shown).astype(np.uint8)


@lru_cache(maxsize=1)
def _quantiles() -> Float[np.ndarray, " step"]:
    """Return quantiles of the normal distribution, in the middle of intervals of equal probability."""
    from scipy.special import ndtri

    return ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "*shape"]:
    """Draw normal numbers with a table, four times as fast as numpy and accurate enough for 8-bit images."""
    steps = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), "<u2")
    return _quantiles().take(steps).reshape(shape)


def encode_jpeg(rng: np.random.Generator, image: UInt8[np.ndarray, "height width 3"], style: str) -> bytes:
    """Return the JPEG file: nearly lossless for "plain", with the compression of typical photographs for "photo"."""
    quality = 95 if style == "plain" else int(rng.integers(45, 93))
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError("the JPEG encoder failed")
    return data.tobytes()

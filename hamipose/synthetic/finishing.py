"""From linear light to a picture file: exposure, lens, sensor, compression."""

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
        look: ``"plain"`` only converts; ``"photo"`` adds exposure, colour cast, vignette, blur, noise.
    """
    if look == "plain":
        return np.round(_srgb(linear) * 255).astype(np.uint8)
    height, width = linear.shape[:2]
    cast = np.exp(rng.normal(0, 0.09, 3)) * np.exp(rng.normal(0.05, 0.2))
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    vignette = 1 - rng.uniform(0, 0.35) * (x * x + y * y)[..., None] / 2
    # The picture is worked on in place: at this size, passes over new memory take longer than the arithmetic.
    image = (cast * vignette).astype(np.float32)
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
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    deviation = np.sqrt(np.maximum(image, 0, out=bright), out=bright)
    deviation *= shot
    deviation *= 0.8
    deviation += read
    noise *= deviation
    image += noise
    contrast, lift = rng.uniform(0.8, 1.15), rng.uniform(-0.03, 0.05)
    shown = _srgb(image)
    shown -= 0.5
    shown *= contrast
    shown += 0.5
    shown += lift
    saturation = rng.uniform(0.65, 1.15)
    red, green, blue = shown[..., 0], shown[..., 1], shown[..., 2]
    grey = (red + green + blue) / np.float32(3) * (1 - saturation)
    shown *= saturation
    shown += grey[..., None]
    np.clip(shown, 0, 1, out=shown)
    shown *= 255
    return np.round(shown, out=shown).astype(np.uint8)


def encode(rng: np.random.Generator, image: UInt8[np.ndarray, "height width 3"], look: str) -> bytes:
    """JPEG: nearly lossless for ``"plain"``, as strongly compressed as photographs are for ``"photo"``."""
    quality = 95 if look == "plain" else int(rng.integers(45, 93))
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError("the JPEG encoder failed")
    return data.tobytes()

"""Camera effects of the photo style against reference formulas in double precision."""

import cv2
import numpy as np
import pytest
from scipy.stats import kstest

from hamipose.synthetic.renderer.camera_effects import _normal, apply_camera_effects

SIDE = 48


def reference_finish(rng, linear):
    """Apply the formulas of the photo style one by one, with the same random draws in the same order."""
    cast = np.exp(rng.normal(0, 0.09, 3)) * np.exp(rng.normal(0.05, 0.2))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    image = linear * cast * (1 - rng.uniform(0, 0.35) * (x**2 + y**2) / 2)[..., None]
    image = image / (1 + np.maximum(image - 0.6, 0) * 0.6)
    if rng.random() < 0.25:
        return None  # motion blur has no reference here
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3) * SIDE / 256)
    shot, read = rng.uniform(0.005, 0.05), rng.uniform(0.002, 0.012)
    image = image + _normal(rng, image.shape) * (read + shot * np.sqrt(np.maximum(image, 0)) * 0.8)
    contrast, lift, saturation = rng.uniform(0.8, 1.15), rng.uniform(-0.03, 0.05), rng.uniform(0.65, 1.15)
    shown = (np.clip(image, 0, 1) ** (1 / 2.2) - 0.5) * contrast + 0.5 + lift
    gray = shown.mean(-1, keepdims=True)
    return np.clip(gray + (shown - gray) * saturation, 0, 1) * 255


def test_camera_effects_match_the_reference_formulas():
    compared = 0
    for seed in range(12):
        linear = np.random.default_rng(seed).uniform(0, 1.4, (SIDE, SIDE, 3)).astype(np.float32)
        expected = reference_finish(np.random.default_rng(seed), linear.astype(float))
        if expected is None:
            continue
        found = apply_camera_effects(np.random.default_rng(seed), linear, "photo")
        compared += 1
        # Differences: rounding, and the table of the sRGB curve, which is coarse where the curve is steep, near black.
        assert np.abs(found - expected)[expected > 60].max() < 0.75
    assert compared >= 6


def test_input_is_not_modified():
    linear = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    apply_camera_effects(np.random.default_rng(0), linear, "photo")
    assert (linear == 0.5).all()


def test_noise_is_normal_and_independent():
    noise = _normal(np.random.default_rng(0), (200, 200, 3))
    assert noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert kstest(noise.ravel()[::3], "norm").pvalue > 0.001
    for axis in range(3):
        ahead, behind = np.take(noise, range(1, noise.shape[axis]), axis), np.delete(noise, -1, axis)
        assert abs((ahead * behind).mean()) < 0.02

"""Augmented views of a sample: one 2 × 3 matrix for crop and augmentation, one interpolation, then color changes.

The geometry is computed here, because a mean teacher needs the exact matrix between two views; albumentations only
changes colors.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import albumentations as A
import numpy as np
from jaxtyping import Float, UInt8

from hamipose.errors import UserError
from hamipose.geometry.affine import augment_matrix, compose, crop_matrix
from hamipose.geometry.crops import warp_crop
from hamipose.types import UnlabeledSample

__all__ = ["PRESETS", "View", "Views", "Window", "get_views"]


class View(NamedTuple):
    """One augmented image of a person."""

    image: UInt8[np.ndarray, "size size 3"]
    matrix: Float[np.ndarray, "2 3"]  # plain crop → view
    mirrored: bool


class Window(NamedTuple):
    """Part of the plain crop that fills the view."""

    zoom: float
    shift: Float[np.ndarray, "2"]  # relative to the side of the view


@dataclass(frozen=True)
class Views:
    """Ranges of augmentation; values are drawn uniformly unless stated otherwise.

    Attributes:
        rotation_deg: maximum rotation in either direction.
        crop_area: minimum share of the crop's area that a random square window keeps; 1 keeps everything.
        scale: minimum and maximum of an additional zoom about the center.
        shear_deg: maximum shear along x in either direction.
        translate: maximum shift in either direction, as a share of the side.
        mirror: probability of mirroring, which swaps left and right keypoints.
        jitter: strength of brightness, contrast and saturation changes.
        blur: maximum standard deviation of a Gaussian blur, in pixels of a 256-pixel crop.
        noise: maximum standard deviation of pixel noise, as a share of the full range; in half of the views.
        gray: probability of conversion to gray.
        window_first: cut the window before the rotation (UniFrame), not after it (RegDA). Shear and zoom then also come
            before the rotation, and student and teacher share one window if this is set for both.
    """

    rotation_deg: float = 0.0
    crop_area: float = 1.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear_deg: float = 0.0
    translate: float = 0.0
    mirror: float = 0.0
    jitter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    gray: float = 0.0
    window_first: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.crop_area <= 1:
            raise UserError(f"crop_area of views is {self.crop_area}, expected a share in (0, 1]")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"scale of views is {self.scale}, expected minimum and maximum, both above 0")

    def sample_window(self, rng: np.random.Generator) -> Window:
        """Draw a window: a share s² of the area is a zoom by 1/s, with a shift that keeps it inside the crop."""
        zoom = 1 / math.sqrt(rng.uniform(self.crop_area, 1.0))
        return Window(zoom, rng.uniform(-(zoom - 1) / 2, (zoom - 1) / 2, size=2))

    def sample_matrix(
        self, size: int, rng: np.random.Generator, window: Window | None = None
    ) -> tuple[Float[np.ndarray, "2 3"], bool]:
        """Draw a map from the plain crop to a view of it, and return it with whether it mirrors.

        The order is rotation, window (RegDA), shear, zoom, shift; with `window_first`: window, zoom, shear, rotation,
        shift (UniFrame).

        Args:
            size: side of crop and view in pixels.
            rng: random generator.
            window: window of the view; default: drawn.
        """
        window = self.sample_window(rng) if window is None else window
        mirrored = bool(rng.random() < self.mirror)
        rotation_deg = rng.uniform(-self.rotation_deg, self.rotation_deg)
        shift = rng.uniform(-self.translate, self.translate, size=2)
        scale = rng.uniform(*self.scale)
        shear_deg = (rng.uniform(-self.shear_deg, self.shear_deg), 0.0)
        if self.window_first:
            cut = augment_matrix(size, scale=window.zoom, translate_frac=_pair(window.shift))
            moved = augment_matrix(size, rotation_deg, scale, _pair(shift), mirrored, shear_deg)
            return compose(moved, cut), mirrored
        turned = augment_matrix(size, rotation_deg=rotation_deg, mirror=mirrored)
        placed = augment_matrix(
            size, scale=window.zoom * scale, translate_frac=_pair(window.shift + shift), shear_deg=shear_deg
        )
        return compose(placed, turned), mirrored

    def photometry(self, size: int) -> A.Compose | None:
        """Return the color changes, to be seeded for each view; None if there are none."""
        steps: list[A.BasicTransform] = []
        if self.jitter > 0:
            around = (1 - self.jitter, 1 + self.jitter)
            steps.append(A.ColorJitter(brightness=around, contrast=around, saturation=around, hue=(0, 0), p=1.0))
        if self.gray > 0:
            steps.append(A.ToGray(p=self.gray))
        if self.blur > 0:
            largest = self.blur * size / 256
            steps.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.01, max(largest, 0.02)), p=1.0))
        if self.noise > 0:
            steps.append(A.GaussNoise(std_range=(0.0, self.noise), p=0.5))
        return A.Compose(steps) if steps else None

    def view(self, sample: UnlabeledSample, size: int, rng: np.random.Generator, window: Window | None = None) -> View:
        """Return a random square view of a sample.

        Args:
            sample: the person.
            size: side of the view in pixels.
            rng: random generator.
            window: see :meth:`sample_matrix`.
        """
        matrix, mirrored = self.sample_matrix(size, rng, window)
        image = warp_crop(sample.image, compose(matrix, crop_matrix(sample.box_px, size, sample.rotation_deg)), size)
        photometry = _photometry(self, size)
        if photometry is not None:
            photometry.set_random_seed(int(rng.integers(2**31)))
            image = photometry(image=image)["image"]
        return View(image, matrix, mirrored)


_COMPOSED: dict[tuple[Views, int], A.Compose | None] = {}  # building one takes longer than applying it


def _photometry(views: Views, size: int) -> A.Compose | None:
    if (views, size) not in _COMPOSED:
        _COMPOSED[views, size] = views.photometry(size)
    return _COMPOSED[views, size]


def _pair(values: Float[np.ndarray, "2"]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


_REGDA = Views(rotation_deg=30.0, crop_area=0.6, jitter=0.25, blur=0.8)
_UNIFRAME = Views(
    rotation_deg=60.0,
    crop_area=0.6,
    scale=(0.6, 1.3),
    shear_deg=30.0,
    translate=0.05,
    jitter=0.25,
    window_first=True,
)

#: Presets by the names that configs use. None of the papers mirrors; RegDA and UniFrame rotate hands by any angle.
PRESETS = {
    "none": Views(),
    "regda": _REGDA,
    "regda_hands": replace(_REGDA, rotation_deg=180.0),
    "hamipose": replace(_REGDA, translate=0.05),
    "uniframe": _UNIFRAME,
    "uniframe_hands": replace(_UNIFRAME, rotation_deg=180.0),
    # For a teacher that gets the plain crop: a warp between the two would flatten the teacher's peaks.
    "photometric": Views(jitter=0.4, blur=1.5, noise=0.06, gray=0.1),
    "strong": replace(_REGDA, translate=0.05, mirror=0.5, scale=(0.75, 1.25), jitter=0.4, noise=0.06, gray=0.1),
}


def get_views(views: Views | str) -> Views:
    """Return the preset of a name; a `Views` object is returned unchanged.

    Raises:
        UserError: unknown preset.
    """
    if isinstance(views, Views):
        return views
    if views not in PRESETS:
        raise UserError(f"views are {views!r}, expected one of {', '.join(PRESETS)} or custom ranges")
    return PRESETS[views]

"""Views of a sample: one 2 × 3 matrix for crop and augmentation together, one interpolation, then photometry.

Geometry is ours, because a mean teacher needs the exact matrix between two views; albumentations only changes colors.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import albumentations as A
import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, augment_matrix, compose, crop_matrix
from hamipose.types import UnlabeledSample

__all__ = ["PRESETS", "View", "Views", "Window", "get_views", "labels_in_view", "warp"]


class View(NamedTuple):
    """One augmented picture of a person."""

    image: UInt8[np.ndarray, "size size 3"]
    matrix: Float[np.ndarray, "2 3"]  # plain crop → view
    mirrored: bool


class Window(NamedTuple):
    """Part of the plain crop that is magnified to the whole."""

    zoom: float
    shift: Float[np.ndarray, "2"]  # in sides of the view


@dataclass(frozen=True)
class Views:
    """Ranges that augmentation draws from, uniformly unless stated.

    Attributes:
        rotation_deg: turns by up to this much either way.
        crop_area: smallest share of the crop's area that a random square window keeps; 1 keeps everything.
        scale: further zoom, lowest and highest, about the center.
        shear_deg: shears along x by up to this much either way.
        translate: shifts by up to this share of the side either way.
        mirror: probability of mirroring, which exchanges left and right keypoints.
        jitter: strength of brightness, contrast and saturation changes.
        blur: largest standard deviation of a Gaussian blur, in pixels of a 256-pixel crop.
        noise: largest standard deviation of pixel noise, as a share of the full range; in half of the views.
        gray: probability of losing all color.
        window_first: the window is cut before turning (UniFrame), not after (RegDA). Shear and zoom then come before
            the turn too, and student and teacher, if both are so, look through one and the same window.
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
            raise UserError(f"scale of views is {self.scale}, expected lowest and highest, both above 0")

    def sample_window(self, rng: np.random.Generator) -> Window:
        """A random window: of a share s² of the area, it is a zoom by 1/s and a shift that keeps it inside."""
        zoom = 1 / math.sqrt(rng.uniform(self.crop_area, 1.0))
        return Window(zoom, rng.uniform(-(zoom - 1) / 2, (zoom - 1) / 2, size=2))

    def sample_matrix(
        self, size: int, rng: np.random.Generator, window: Window | None = None
    ) -> tuple[Float[np.ndarray, "2 3"], bool]:
        """A random map from the plain crop into a view of it, and whether it mirrors.

        First turn, then window (RegDA), shear, zoom and shift; with `window_first`: window, then zoom, shear, turn and
        shift (UniFrame).

        Args:
            size: side of crop and view in pixels.
            rng: draws.
            window: to look through; drawn where not given.
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
        """The color part, to be seeded for each view; None where nothing would change."""
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
        """A random view of a sample, square, `size` pixels on a side; `window` as for :meth:`sample_matrix`."""
        matrix, mirrored = self.sample_matrix(size, rng, window)
        image = warp(sample.image, compose(matrix, crop_matrix(sample.box_px, size, sample.rotation_deg)), size)
        photometry = _photometry(self, size)
        if photometry is not None:
            photometry.set_random_seed(int(rng.integers(2**31)))
            image = photometry(image=image)["image"]
        return View(image, matrix, mirrored)


_COMPOSED: dict[tuple[Views, int], A.Compose | None] = {}  # building one takes longer than using it


def _photometry(views: Views, size: int) -> A.Compose | None:
    if (views, size) not in _COMPOSED:
        _COMPOSED[views, size] = views.photometry(size)
    return _COMPOSED[views, size]


def _pair(values: Float[np.ndarray, "2"]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def warp(
    image: UInt8[np.ndarray, "height width 3"], matrix: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The picture carried along `matrix` into a square; black where nothing is known.

    Bilinear interpolation looks at four pixels only: a picture to be shrunk to less than half is averaged over whole
    blocks of pixels first.
    """
    block = int(1 / max(math.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6))
    block = min(block, *image.shape[:2])
    if block >= 2:
        height, width = (side // block * block for side in image.shape[:2])
        image = cv2.resize(image[:height, :width], (width // block, height // block), interpolation=cv2.INTER_AREA)
        matrix = compose(matrix, np.array([[block, 0, (block - 1) / 2], [0, block, (block - 1) / 2]], float))
    # OpenCV samples four channels in half the time of three, to the same bytes, where adding one does not cost more.
    four = image.shape[0] * image.shape[1] <= 4 * size * size
    source = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if four else image
    moved = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB) if four else moved


def labels_in_view(
    keypoints_px: Float[np.ndarray, "keypoint 2"],
    visibility: Int[np.ndarray, " keypoint"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    mirror: list[int] | None = None,
) -> tuple[Float[np.ndarray, "keypoint 2"], Int[np.ndarray, " keypoint"]]:
    """Labels carried along, keypoints that leave the view marked 0.

    Args:
        keypoints_px: keypoints in pixels of the original image.
        visibility: 0, 1 or 2.
        matrix: original image → view.
        size: side of the view.
        mirror: the skeleton's mirror pairs if the view is mirrored, else None.
    """
    moved = apply_points(matrix, keypoints_px.astype(np.float64)).astype(np.float32)
    if mirror is not None:
        moved, visibility = moved[mirror], visibility[mirror]
    inside = ((moved >= -0.5) & (moved <= size - 0.5)).all(-1)
    return moved, np.where(inside, visibility, 0).astype(np.int64)


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

#: By the name that configs use. None of the papers mirrors; RegDA and UniFrame turn hands by any angle.
PRESETS = {
    "none": Views(),
    "regda": _REGDA,
    "regda_hands": replace(_REGDA, rotation_deg=180.0),
    "hamipose": replace(_REGDA, translate=0.05),
    "uniframe": _UNIFRAME,
    "uniframe_hands": replace(_UNIFRAME, rotation_deg=180.0),
    # For a student whose teacher sees the plain crop: no warp between them, which would flatten the teacher's peaks.
    "photometric": Views(jitter=0.4, blur=1.5, noise=0.06, gray=0.1),
    "strong": replace(_REGDA, translate=0.05, mirror=0.5, scale=(0.75, 1.25), jitter=0.4, noise=0.06, gray=0.1),
}


def get_views(views: Views | str) -> Views:
    """The preset of that name, or the object itself.

    Raises:
        UserError: there is no such preset.
    """
    if isinstance(views, Views):
        return views
    if views not in PRESETS:
        raise UserError(f"views are {views!r}, expected one of {', '.join(PRESETS)} or ranges of your own")
    return PRESETS[views]

"""Skeletons on images, and images side by side: what people look at."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hamipose.skeletons import Skeleton

__all__ = ["draw_keypoints", "draw_label", "magnify", "make_grid"]

#: Color-blind safe (Okabe and Ito): the person's left is orange, right is blue, the middle is green.
_LEFT, _RIGHT, _MIDDLE = (230, 159, 0), (86, 180, 233), (0, 158, 115)


def _color(*names: str) -> tuple[int, int, int]:
    if any(n.startswith("left_") for n in names):
        return _LEFT
    return _RIGHT if any(n.startswith("right_") for n in names) else _MIDDLE


def draw_keypoints(
    image: UInt8[np.ndarray, "height width 3"],
    keypoints_px: Float[np.ndarray, "keypoint 2"],
    skeleton: Skeleton,
    shown: Bool[np.ndarray, " keypoint"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy of the image with limbs and joints; left orange, right blue, middle green.

    Args:
        image: RGB.
        keypoints_px: positions; those that are not finite are left out.
        skeleton: gives the limbs.
        shown: which keypoints to draw; all where it is left out.
    """
    canvas = np.ascontiguousarray(image).copy()
    ok = np.isfinite(keypoints_px).all(1) if shown is None else np.isfinite(keypoints_px).all(1) & shown
    at = [tuple(round(float(v) * 16) for v in p) if good else (0, 0) for p, good in zip(keypoints_px, ok, strict=True)]
    thick = max(1, round(max(image.shape[:2]) / 150))
    for a, b in skeleton.limb_indices:
        if ok[a] and ok[b]:
            color = _color(skeleton.keypoints[a], skeleton.keypoints[b])
            cv2.line(canvas, at[a], at[b], color, thick, cv2.LINE_AA, 4)
    for k, good in enumerate(ok):
        if good:
            cv2.circle(canvas, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(canvas, at[k], 16 * thick, _color(skeleton.keypoints[k]), -1, cv2.LINE_AA, 4)
    return canvas


def magnify(
    image: UInt8[np.ndarray, "height width 3"], keypoints_px: Float[np.ndarray, "keypoint 2"], least: int = 192
) -> tuple[UInt8[np.ndarray, "height2 width2 3"], Float[np.ndarray, "keypoint 2"]]:
    """A small image, and keypoints on it, so many whole times as large that its longer side nears `least` pixels."""
    zoom = max(1, round(least / max(image.shape[:2])))
    larger = cv2.resize(np.ascontiguousarray(image), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    return larger, (keypoints_px + 0.5) * zoom - 0.5


def draw_label(image: UInt8[np.ndarray, "height width 3"], text: str) -> UInt8[np.ndarray, "height width 3"]:
    """A copy with a line of text along its top edge."""
    canvas = np.ascontiguousarray(image).copy()
    scale = max(0.3, min(image.shape[:2]) / 500)
    for color, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(canvas, text, (4, int(26 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thick, cv2.LINE_AA)
    return canvas


def make_grid(
    images: list[UInt8[np.ndarray, "height width 3"]], columns: int, gap: int = 4
) -> UInt8[np.ndarray, "height2 width2 3"]:
    """Images of one size in rows of `columns`, on white."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet

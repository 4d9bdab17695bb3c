"""Draw skeletons and labels on images, and arrange images in a grid."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hamipose.skeletons import Skeleton

__all__ = ["draw_keypoints", "draw_label", "magnify", "make_grid"]

#: Colors for color-blind people (Okabe and Ito): left is orange, right is blue, the middle is green.
_LEFT, _RIGHT, _MIDDLE = (230, 159, 0), (86, 180, 233), (0, 158, 115)


def _color(*names: str) -> tuple[int, int, int]:
    if any(n.startswith("left_") for n in names):
        return _LEFT
    return _RIGHT if any(n.startswith("right_") for n in names) else _MIDDLE


def draw_keypoints(
    image: UInt8[np.ndarray, "height width 3"],
    keypoints_px: Float[np.ndarray, "keypoint 2"],
    skeleton: Skeleton,
    visible: Bool[np.ndarray, " keypoint"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of the image with limbs and joints; left orange, right blue, middle green.

    Args:
        image: RGB image.
        keypoints_px: positions; those that are not finite are skipped.
        skeleton: skeleton that defines the limbs.
        visible: mask of keypoints to draw. Default: None, all.
    """
    canvas = np.ascontiguousarray(image).copy()
    drawn = np.isfinite(keypoints_px).all(1) if visible is None else np.isfinite(keypoints_px).all(1) & visible
    at = [tuple(round(float(v) * 16) for v in p) if ok else (0, 0) for p, ok in zip(keypoints_px, drawn, strict=True)]
    thick = max(1, round(max(image.shape[:2]) / 150))
    for a, b in skeleton.limb_indices:
        if drawn[a] and drawn[b]:
            color = _color(skeleton.keypoints[a], skeleton.keypoints[b])
            cv2.line(canvas, at[a], at[b], color, thick, cv2.LINE_AA, 4)
    for k, ok in enumerate(drawn):
        if ok:
            cv2.circle(canvas, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(canvas, at[k], 16 * thick, _color(skeleton.keypoints[k]), -1, cv2.LINE_AA, 4)
    return canvas


def magnify(
    image: UInt8[np.ndarray, "height width 3"], keypoints_px: Float[np.ndarray, "keypoint 2"], side: int = 192
) -> tuple[UInt8[np.ndarray, "height2 width2 3"], Float[np.ndarray, "keypoint 2"]]:
    """Enlarge an image and its keypoints by an integer factor, so that its longer side is close to `side` pixels."""
    zoom = max(1, round(side / max(image.shape[:2])))
    larger = cv2.resize(np.ascontiguousarray(image), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    return larger, (keypoints_px + 0.5) * zoom - 0.5


def draw_label(image: UInt8[np.ndarray, "height width 3"], text: str) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of the image with a line of text along its top edge."""
    canvas = np.ascontiguousarray(image).copy()
    scale = max(0.3, min(image.shape[:2]) / 500)
    for color, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(canvas, text, (4, int(26 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thick, cv2.LINE_AA)
    return canvas


def make_grid(
    images: list[UInt8[np.ndarray, "height width 3"]], columns: int, gap: int = 4
) -> UInt8[np.ndarray, "height2 width2 3"]:
    """Return images of the same size, arranged in rows of `columns` on white."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet

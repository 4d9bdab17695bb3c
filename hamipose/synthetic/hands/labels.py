"""Labels of a hand: joints in pixels and meters, and by ray tests what the camera sees of them."""

import numpy as np
from jaxtyping import Float

from hamipose.skeletons import HAND21
from hamipose.synthetic.people.labels import Labels
from hamipose.synthetic.renderer.raycast import Renderer
from hamipose.synthetic.scene.scene import Camera

__all__ = ["label_hand"]

# How far under the skin a joint may lie along the ray that sees it, meters for a hand of 0.185 m. Another finger in
# front of it is twice as thick at least.
_DEPTH_M = {"wrist": 0.036, "thumb_mcp": 0.03, "mcp": 0.022, "pip": 0.017, "dip": 0.015, "tip": 0.013}


def label_hand(renderer: Renderer, camera: Camera, points_m: Float[np.ndarray, "21 3"], length_m: float) -> Labels:
    """Labels of the hand in the scene that `renderer` has loaded.

    Args:
        renderer: has the scene.
        camera: that takes the picture.
        points_m: the joints of HAND21 in the scene's world.
        length_m: of the hand.
    """
    pixels, height, width = camera.project(points_m), *camera.size
    inside = ((pixels >= -0.5) & (pixels <= np.array([width, height]) - 0.5)).all(1)
    in_camera = camera.to_camera(points_m)
    distance, part = renderer.first_hits(points_m)
    away = np.linalg.norm(points_m - camera.position_m, axis=1)
    deep = [_DEPTH_M.get(name) or _DEPTH_M[name.rpartition("_")[2]] for name in HAND21.keypoints]
    depth = np.array(deep) * length_m / 0.185
    # A joint on the outline may be missed by the ray: then nothing lies in front of it either.
    seen = ((part >= 0) & (away - distance < depth)) | (distance > away + 0.005)
    return Labels(
        keypoints_px=pixels,
        visibility=np.where(inside & (in_camera[:, 2] > 0), 1 + seen, 0).astype(np.int64),
        joints_m=in_camera,
    )

"""A picture of a hand on disk and its record: one COCO image and one COCO annotation."""

from pathlib import Path

import numpy as np

from hamipose.skeletons import HAND21
from hamipose.synthetic.hands.poses import HAND_FAMILIES
from hamipose.synthetic.hands.sample import hand_renderer, picture_hand
from hamipose.synthetic.people.annotations import picture_name, triplets, write_picture
from hamipose.synthetic.people.labels import box_of, run_lengths

__all__ = ["FORMAT", "category", "make_record", "ready"]

#: Of each look; raised whenever the same seed no longer gives the same pictures or labels.
FORMAT = {"plain": 2, "photo": 4}


def category() -> dict:
    """The COCO category: the keypoints' names and limbs."""
    return {
        "id": 1,
        "name": "left hand",
        "keypoints": list(HAND21.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in HAND21.limb_indices],
    }


def ready(device: str | None) -> None:
    """Builds what is built once on a machine, before several processes want it."""
    hand_renderer(device)


def _family(seed: int, index: int, poses: list[str]) -> str:
    """One of these families, each as often among them as its weight says."""
    weights = np.array([HAND_FAMILIES[p].weight for p in poses])
    return poses[np.random.default_rng([seed, index]).choice(len(poses), p=weights / weights.sum())]


def make_record(
    folder: Path,
    index: int,
    *,
    look: str,
    size: int,
    seed: int,
    backgrounds: str | None = None,
    device: str | None = None,
    poses: list[str] | None = None,
    backdrops: list[str] | None = None,
    facing: list[str] | None = None,
    roll_deg: float | None = None,
) -> dict:
    """Renders picture number `index` into `folder` and describes it; its pose is of one of these families."""
    family = None if poses is None else _family(seed, index, poses)
    picture = picture_hand(
        look,
        index,
        seed=seed,
        size=size,
        backgrounds=backgrounds,
        backdrops=backdrops,
        family=family,
        facing=facing,
        roll_deg=roll_deg,
        device=device,
    )
    write_picture(folder, index, picture.jpeg)
    labels, camera = picture.labels, picture.scene.camera
    return {
        "image": {"id": index, "file_name": picture_name(index), "width": size, "height": size},
        "annotation": {
            "id": index,
            "image_id": index,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": triplets(labels),
            "num_keypoints": int((labels.visibility > 0).sum()),
            "joints_3d_m": np.round(labels.joints_m, 5).tolist(),
            "camera": {"intrinsics": np.round(camera.intrinsics, 4).tolist()},
            "bbox": box_of(picture.mask),
            "area": float(picture.mask.sum()),
            "segmentation": run_lengths(picture.mask),
            "pose": picture.pose.family,
            "length_m": round(picture.hand.length_m, 5),
        },
    }

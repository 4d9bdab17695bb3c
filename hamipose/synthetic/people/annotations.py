"""A picture on disk and its record: one COCO image and one COCO annotation."""

import os
from pathlib import Path

import numpy as np

from hamipose.skeletons import BODY16, COCO17
from hamipose.synthetic.people.labels import Labels, box_of, run_lengths
from hamipose.synthetic.people.sample import picture_person
from hamipose.synthetic.renderer.raycast import renderer

__all__ = ["FORMAT", "category", "make_record", "picture_name", "ready", "triplets", "write_picture"]

#: Of each look; raised whenever the same seed no longer gives the same pictures or labels.
FORMAT = {"plain": 5, "photo": 6}


def picture_name(index: int) -> str:
    """Where picture number `index` lies inside the folder."""
    return f"images/{index:06d}.jpg"


def category() -> dict:
    """The COCO category: the keypoints' names and limbs. ``coco17`` names the second order."""
    return {
        "id": 1,
        "name": "person",
        "keypoints": list(BODY16.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in BODY16.limb_indices],
        "coco17": list(COCO17.keypoints),
    }


def ready(device: str | None) -> None:
    """Builds what is built once on a machine, before several processes want it."""
    renderer(device)


def write_picture(folder: Path, index: int, jpeg: bytes) -> None:
    """Puts a picture's file into `folder`; a file that is there is whole."""
    path = folder / picture_name(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(jpeg)
    os.replace(unfinished, path)


def triplets(labels: Labels) -> list[float | int]:
    """x, y and visibility of each keypoint in a row, as COCO has it."""
    rows = np.concatenate([np.round(labels.keypoints_px, 2), labels.visibility[:, None]], 1)
    return [int(v) if i % 3 == 2 else float(v) for i, v in enumerate(rows.reshape(-1))]


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
) -> dict:
    """Renders picture number `index` into `folder` and describes it; its pose is of one of these families."""
    person = picture_person(
        look,
        index,
        seed=seed,
        size=size,
        backgrounds=backgrounds,
        backdrops=backdrops,
        poses=poses,
        device=device,
    )
    write_picture(folder, index, person.jpeg)

    body, coco, camera = person.labels["body16"], person.labels["coco17"], person.scene.camera
    return {
        "image": {"id": index, "file_name": picture_name(index), "width": size, "height": size},
        "annotation": {
            "id": index,
            "image_id": index,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": triplets(body),
            "num_keypoints": int((body.visibility > 0).sum()),
            "coco17": triplets(coco),
            "joints_3d_m": {
                "body16": np.round(body.joints_m, 4).tolist(),
                "coco17": np.round(coco.joints_m, 4).tolist(),
            },
            "camera": {
                "intrinsics": np.round(camera.intrinsics, 4).tolist(),
                "rotation": np.round(camera.rotation, 6).tolist(),
                "position_m": np.round(camera.position_m, 5).tolist(),
            },
            "bbox": box_of(person.mask),
            "area": float(person.mask.sum()),
            "segmentation": run_lengths(person.mask),
            "pose": person.pose.family,
            "height_m": round(person.body.height_m, 4),
        },
    }

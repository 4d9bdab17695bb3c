"""COCO records of rendered images: one COCO image and one COCO annotation each."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from hamipose.skeletons import BODY16, COCO17, HAND21
from hamipose.synthetic.hands.poses import draw_hand_family
from hamipose.synthetic.hands.sample import get_hand_renderer, render_hand
from hamipose.synthetic.labels import Labels, bounding_box, run_length_encoding
from hamipose.synthetic.people.sample import render_person
from hamipose.synthetic.render_jobs import image_name, write_atomically
from hamipose.synthetic.renderer.raycast import get_renderer

__all__ = ["FORMAT", "build_caches", "category", "make_hand_record", "make_person_record"]

#: Versions of images and labels. Increase when the same seed gives other images or labels, or other record fields.
FORMAT = {"people": {"plain": 6, "photo": 7}, "hands": {"plain": 3, "photo": 5}}


def category(subject: str) -> dict:
    """Return the COCO category with the names of keypoints and limbs; ``coco17`` of people names the second order."""
    name, skeleton = {"people": ("person", BODY16), "hands": ("left hand", HAND21)}[subject]
    return {
        "id": 1,
        "name": name,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_indices],
        **({"coco17": list(COCO17.keypoints)} if subject == "people" else {}),
    }


def build_caches(subject: str, device: str | None) -> None:
    """Build the body model's cache and compile the renderer, before several processes need them."""
    get_renderer(device) if subject == "people" else get_hand_renderer(device)


def make_person_record(folder: Path, index: int, *, size: int, **options: Any) -> dict:
    """Render an image of a person into a folder, and return its record.

    Args:
        folder: output folder.
        index: index in the series.
        size: side of the image in pixels.
        options: further arguments of `render_person`.
    """
    person = render_person(index=index, size=size, **options)
    write_atomically(folder / image_name(index), person.jpeg)
    body, coco, camera = person.labels["body16"], person.labels["coco17"], person.scene.camera
    fields = {
        "coco17": _coco_keypoints(coco),
        "joints_3d_m": {
            "body16": np.round(body.joints_m, 4).tolist(),
            "coco17": np.round(coco.joints_m, 4).tolist(),
        },
        "camera": {
            "intrinsics": np.round(camera.intrinsics, 4).tolist(),
            "rotation": np.round(camera.rotation, 6).tolist(),
            "position_m": np.round(camera.position_m, 5).tolist(),
        },
        "pose": person.pose.family,
        "height_m": round(person.body.height_m, 4),
    }
    return _record(index, size, body, person.mask, fields)


def make_hand_record(folder: Path, index: int, *, size: int, seed: int, **options: Any) -> dict:
    """Render an image of a left hand into a folder, and return its record.

    Args:
        folder: output folder.
        index: index in the series.
        size: side of the image in pixels.
        seed: seed of the series.
        options: further arguments of `render_hand`; ``poses``, a list of pose families, replaces its `family`.
    """
    poses = options.pop("poses", None)
    family = None if poses is None else draw_hand_family(np.random.default_rng([seed, index]), poses)
    hand = render_hand(index=index, size=size, seed=seed, family=family, **options)
    write_atomically(folder / image_name(index), hand.jpeg)
    fields = {
        "joints_3d_m": np.round(hand.labels.joints_m, 5).tolist(),
        "camera": {"intrinsics": np.round(hand.scene.camera.intrinsics, 4).tolist()},
        "pose": hand.pose.family,
        "length_m": round(hand.hand.length_m, 5),
    }
    return _record(index, size, hand.labels, hand.mask, fields)


def _record(index: int, size: int, labels: Labels, mask: Bool[np.ndarray, "height width"], fields: dict) -> dict:
    """Return the COCO image and annotation, with further fields of the annotation."""
    annotation = {
        "id": index,
        "image_id": index,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": _coco_keypoints(labels),
        "num_keypoints": int((labels.visibility > 0).sum()),
        "bbox": bounding_box(mask),
        "area": float(mask.sum()),
        "segmentation": run_length_encoding(mask),
    }
    image = {"id": index, "file_name": image_name(index), "width": size, "height": size}
    return {"image": image, "annotation": annotation | fields}


def _coco_keypoints(labels: Labels) -> list[float | int]:
    """Return x, y and visibility of each keypoint in one flat list, as in COCO."""
    rows = np.concatenate([np.round(labels.keypoints_px, 2), labels.visibility[:, None]], 1)
    return [int(v) if i % 3 == 2 else float(v) for i, v in enumerate(rows.reshape(-1))]

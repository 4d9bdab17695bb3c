"""SPIN's annotation format: one .npz per data set, also used for pseudo-labels (CLIFF, EFT).

Arrays of N rows: ``imgname`` (relative to the folder of images), ``center`` and ``scale`` (box, side = 200 · scale px),
and any of ``part`` [24, 3] (2D joints of `JOINTS24` and confidence), ``openpose`` [25, 3] (BODY_25), ``S`` [24, 4] (3D
joints in meters and confidence), ``pose`` [72] (axis-angle) and ``shape`` [10] (SMPL), ``has_smpl``, ``gender`` ("m" or
"f"), ``focal_length``.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from hamipose.io.file_type import explain
from hamipose.io.image_file import UnreadableImage
from meshtto.data.base import MeshDataset, check_evidence, joint_box, unknown_mesh
from meshtto.data.npz import read_npy, read_npz
from meshtto.joints import JOINTS24, JOINTS49, OPENPOSE25, place_keypoints
from meshtto.types import GENDERS, MeshSample

__all__ = ["SpinAnnotations", "center_on_root", "image_size"]

_SHAPES = {
    "imgname": (),
    "center": (2,),
    "scale": (),
    "part": (24, 3),
    "openpose": (25, 3),
    "S": (24, 4),
    "pose": (72,),
    "shape": (10,),
    "has_smpl": (),
    "gender": (),
    "focal_length": (),
}
_HOW = "see docs/mesh_data.md for where SPIN's and CLIFF's annotations come from"


def image_size(path: Path) -> np.ndarray:
    """Read width and height from an image's header.

    Raises:
        UnreadableImage: there is no readable image.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.size, np.float32)
    except Exception:  # Pillow's plugins raise many exceptions for damaged files
        raise UnreadableImage(f"image {path} {explain(path, 'an image')}; check the data folder") from None


def center_on_root(joints_m: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Subtract the labeled pelvis, or else the midpoint of the hips, if known, from 49 joints."""
    pelvis, *hips = (JOINTS49.index(name) for name in ("pelvis", "left_hip", "right_hip"))
    if confidence[pelvis] > 0:
        return joints_m - joints_m[pelvis]
    return joints_m - joints_m[hips].mean(0) if confidence[hips].all() else joints_m


class SpinAnnotations(MeshDataset):
    """People of an annotation file in SPIN's format, with the labels that the file contains.

    Args:
        file: the .npz.
        images: folder that ``imgname`` is relative to.
        evidence: 2D joints for use at test time: "truth" (``part``), "detector" (``openpose``, also used for the same
            joints of the 24) or "none".
        box: "joints" (1.2 times the box of the 24 joints, as in CLIFF and Meta-HMR; the file's if no joint is known) or
            "file" (``center`` and ``scale``).
        fits: pseudo-labels that replace the file's pose and shape: SPIN's static fits, an .npy of N rows of 72 and 10
            numbers; EFT's have an additional 0 or 1. They belong to the neutral body; the file's genders are dropped.
        occluders: whether training adds occluders to these people; the papers do for Human3.6M and MPI-INF-3DHP.
        stride: use every n-th row.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        file: str,
        images: str,
        evidence: str = "truth",
        box: str = "joints",
        fits: str | None = None,
        occluders: bool = False,
        stride: int = 1,
        cache: bool = False,
    ):
        if box not in ("joints", "file"):
            raise UserError(f"box is {box!r}, expected joints or file")
        if stride < 1:
            raise UserError(f"stride is {stride}, expected at least 1")
        self.file, self.images, self.evidence = Path(file), Path(images), check_evidence(evidence)
        self.box, self.fits, self.occluders, self.stride, self.cache = box, fits, occluders, stride, cache

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Return the arrays of all people, read and checked on first use."""
        read = read_npz(self.file, "annotations", _HOW)
        missing = [name for name in ("imgname", "center", "scale") if name not in read]
        if missing:
            raise UserError(f"annotations {self.file} have no {', '.join(missing)}; expected a file in SPIN's format")
        count = len(read["imgname"])
        if "pose" in read and "has_smpl" not in read:
            read["has_smpl"] = np.ones(count, bool)
        if self.fits is not None:
            self._put_fits(read, count)
        rows = {name: self._checked(name, read[name], count) for name in _SHAPES if name in read}
        if self.evidence == "detector" and "openpose" not in rows:
            raise UserError(f"annotations {self.file} have no openpose; expected them for evidence: detector")
        if ("pose" in rows) != ("shape" in rows):
            raise UserError(f"annotations {self.file} have only one of pose and shape, expected both or neither")
        return {name: array[:: self.stride] for name, array in rows.items()}

    def _put_fits(self, read: dict[str, np.ndarray], count: int) -> None:
        how = "SPIN's static_fits are N rows of 72 and 10 numbers"
        fits = np.asarray(read_npy(Path(str(self.fits)), "fits", how), np.float32)
        if fits.ndim != 2 or len(fits) != count or fits.shape[1] not in (82, 83):
            raise UserError(f"fits {self.fits} have shape {fits.shape}, expected {count} rows of 82 (or 83) numbers")
        read.pop("gender", None)
        read["pose"], read["shape"] = fits[:, :72], fits[:, 72:82]
        read["has_smpl"] = fits[:, 82] > 0 if fits.shape[1] == 83 else np.ones(count, bool)

    def _checked(self, name: str, array: np.ndarray, count: int) -> np.ndarray:
        if array.dtype == object and name not in ("imgname", "gender"):
            array = np.array(array.tolist(), np.float64)
        if array.shape != (count, *_SHAPES[name]):
            raise UserError(f"{name} of {self.file} has shape {array.shape}, expected {(count, *_SHAPES[name])}")
        if name in ("imgname", "gender"):
            return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in array.tolist()])
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array.reshape(count, -1)).all(1))[0, 0])
            raise UserError(f"row {row} of {name} of {self.file} is not finite; remove the row or get the file again")
        return array

    def prepare(self) -> None:
        """Check the annotations, and that the first and last image exist."""
        for row in (0, -1):
            if len(self) and not self._path(row).is_file():
                raise UserError(f"image {self._path(row)} does not exist; check the folder of images {self.images}")

    @property
    def label_body(self) -> str | None:
        """Return SMPL if the file contains pose and shape."""
        return "SMPL" if "pose" in self.rows else None

    def _path(self, index: int) -> Path:
        return self.images / str(self.rows["imgname"][index])

    def __len__(self) -> int:
        return len(self.rows["imgname"])

    def _keypoints(self, index: int, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the 49 joints from these arrays."""
        pixels, confidence = np.zeros((49, 2), np.float32), np.zeros(49, np.float32)
        for name, start, count in (("openpose", 0, len(OPENPOSE25)), ("part", len(OPENPOSE25), len(JOINTS24))):
            if name in names and name in self.rows:
                row = self.rows[name][index]
                pixels[start : start + count], confidence[start : start + count] = row[:, :2], np.maximum(row[:, 2], 0)
        return pixels, confidence

    def _evidence(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the evidence of the 49 joints; OpenPose's joints are evidence in both halves."""
        if self.evidence != "detector":
            return self._keypoints(index, ("part",) if self.evidence == "truth" else ())
        detected = place_keypoints(OPENPOSE25, self.rows["openpose"][index]).astype(np.float32)
        return detected[:, :2], np.maximum(detected[:, 2], 0)

    def __getitem__(self, index: int) -> MeshSample:
        rows = self.rows
        path = self._path(index)
        pixels, confidence = self._keypoints(index, ("openpose", "part"))
        evidence, evidence_confidence = self._evidence(index)
        joints, sure = np.zeros((49, 3), np.float32), np.zeros(49, np.float32)
        if "S" in rows:
            joints[len(OPENPOSE25) :], sure[len(OPENPOSE25) :] = rows["S"][index, :, :3], rows["S"][index, :, 3]
        mesh: dict[str, Any] = unknown_mesh()
        if "pose" in rows and rows["has_smpl"][index] > 0:
            turns = rotvec_to_rotmat(torch.from_numpy(rows["pose"][index].reshape(24, 3)).double())
            mesh = {"rotations": turns.float().numpy(), "shape": rows["shape"][index], "has_mesh": True}
            letter = str(rows["gender"][index])[:1] if "gender" in rows else ""
            mesh["gender"] = GENDERS.index({"m": "male", "f": "female"}.get(letter, "neutral"))
        size = image_size(path)
        box = self._box(index, pixels, confidence)
        image, reduction = self.decode(path, box)
        focal = float(rows["focal_length"][index]) if "focal_length" in rows else float(np.hypot(*size))
        return MeshSample(
            image=image,
            reduction=reduction,
            box_px=box,
            name=str(path),
            keypoints_px=pixels,
            keypoints_confidence=confidence,
            evidence_px=evidence,
            evidence_confidence=evidence_confidence,
            joints_m=center_on_root(joints, sure).astype(np.float32),
            joints_confidence=sure,
            image_size=size,
            focal_px=focal,
            **mesh,
        )

    def _box(self, index: int, pixels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        part = np.where(np.arange(49) < len(OPENPOSE25), 0.0, confidence)
        if self.box == "joints" and (part > 0).sum() > 1:
            return joint_box(pixels.astype(np.float64), part)
        side = 200.0 * float(self.rows["scale"][index])
        if side <= 0:
            raise UserError(f"scale of row {index} of {self.file} is {side / 200}, expected more than 0")
        center = self.rows["center"][index].astype(np.float64)
        return np.array([*(center - (side - 1) / 2), side, side])

"""3DPW in its official format: ``imageFiles/<sequence>/image_00000.jpg``, ``sequenceFiles/<split>/<sequence>.pkl``.

A sequence is a Python 2 pickle with entries per frame (30 per second) and person: ``poses`` (axis-angle, SMPL of the
person's gender), ``trans``, ``betas``, ``jointPositions`` (all in world axes), ``cam_poses`` (world → camera),
``cam_intrinsics``, ``campose_valid``, ``poses2d`` (OpenPose's 18 joints).
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error
from hamipose.io.safe_pickle import load_pickle
from meshtto.body import Body, load_body
from meshtto.data.base import MeshDataset, check_evidence, joint_box, require_path
from meshtto.data.datasets.spin import center_on_root, image_size
from meshtto.joints import CANDIDATES, COCO18_SLOTS, OPENPOSE25
from meshtto.types import GENDERS, MeshSample

__all__ = [
    "ThreeDPW",
]

_HOW = "get 3DPW at https://virtualhumans.mpi-inf.mpg.de/3DPW (non-commercial)"
_SPLITS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}


class _People(NamedTuple):
    """All people of one sequence; a row is a person in a frame."""

    sequence: str
    frame: np.ndarray  # [row]
    pose: np.ndarray  # [row, 24, 3]
    shape: np.ndarray  # [row, 10]
    translation: np.ndarray  # [row, 3] in the world
    joints: np.ndarray  # [row, 24, 3] in the world
    detected: np.ndarray  # [row, 3, 18]
    camera: np.ndarray  # [row, 4, 4]
    intrinsics: np.ndarray  # [3, 3]
    gender: np.ndarray  # [row]


def _read_sequence(path: Path) -> _People:
    """Read the people of a sequence in the frames with a known camera.

    Raises:
        UserError: the file is missing, damaged, contains code, or is not a sequence of 3DPW.
    """
    read = load_pickle(path)
    if not isinstance(read, dict):
        raise UserError(
            f"sequence {path} contains a {type(read).__name__}, expected the dictionary of a sequence of 3DPW"
        )
    named: dict[str, Any] = {
        "genders": read.get("genders", read.get("gender")),
        "poses2d": read.get("poses2d", read.get("poses2D")),
        **{k: read.get(k) for k in ("poses", "trans", "betas", "jointPositions")},
        **{k: read.get(k) for k in ("cam_poses", "cam_intrinsics", "campose_valid")},
    }
    missing = [name for name, value in named.items() if value is None]
    if missing:
        raise UserError(f"sequence {path} has no {', '.join(missing)}; {_HOW}")
    parts: dict[str, list] = {name: [] for name in _People._fields[1:] if name != "intrinsics"}
    try:
        cameras = np.asarray(named["cam_poses"], np.float64)
        intrinsics = np.asarray(named["cam_intrinsics"], np.float64)
        frames = len(cameras)
        _has(path, "cam_poses", cameras, (frames, 4, 4))
        _has(path, "cam_intrinsics", intrinsics, (3, 3))
        for person, pose in enumerate(named["poses"]):
            arrays = {
                "pose": np.asarray(pose, np.float64),
                "translation": np.asarray(named["trans"][person], np.float64),
                "joints": np.asarray(named["jointPositions"][person], np.float64),
                "detected": np.asarray(named["poses2d"][person], np.float64),
                "valid": np.asarray(named["campose_valid"][person]).astype(bool),
            }
            for name, sides in (("pose", (72,)), ("translation", (3,)), ("joints", (72,)), ("detected", (3, 18))):
                _has(path, f"{name} of person {person}", arrays[name], (frames, *sides))
            _has(path, f"campose_valid of person {person}", arrays["valid"], (frames,))
            shape = np.asarray(named["betas"][person], np.float64)[:10]
            _has(path, f"betas of person {person}", shape, (10,))
            chosen = np.flatnonzero(arrays["valid"])
            gender = {"m": "male", "f": "female"}.get(str(named["genders"][person])[:1])
            if gender is None:
                raise UserError(f"gender of person {person} in {path} is {named['genders'][person]!r}, expected m or f")
            parts["frame"].append(chosen)
            parts["pose"].append(arrays["pose"][chosen].reshape(-1, 24, 3))
            parts["shape"].append(np.broadcast_to(shape, (len(chosen), 10)))
            parts["translation"].append(arrays["translation"][chosen])
            parts["joints"].append(arrays["joints"][chosen].reshape(-1, 24, 3))
            parts["detected"].append(arrays["detected"][chosen])
            parts["camera"].append(cameras[chosen])
            parts["gender"].append(np.full(len(chosen), GENDERS.index(gender)))
    except UserError:
        raise
    except Exception as error:  # a foreign pickle can raise anything
        raise UserError(f"sequence {path} is not in 3DPW's format ({describe_error(error)}); {_HOW}") from None
    if not parts["frame"]:
        raise UserError(f"sequence {path} contains no people; {_HOW}")
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return _People(sequence=path.stem, intrinsics=intrinsics, **joined)


def _has(path: Path, what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise UserError(f"{what} in {path} has shape {array.shape}, expected {shape}; {_HOW}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{what} in {path} contains numbers that are not finite; {_HOW}")


class ThreeDPW(MeshDataset):
    """People of 3DPW in all frames with a known camera.

    With SMPL's bodies, the 49 joints are the projected ones of the labeled mesh, as in CLIFF; without, only those among
    SMPL's own 24 joints, which the files contain.

    Args:
        root: folder with ``imageFiles`` and ``sequenceFiles``.
        split: "train", "validation" or "test".
        body: converted SMPL file of any gender, with those of both genders beside it; default: joints of the files.
        evidence: 2D joints for use at test time: "truth" (labels), "detector" (``poses2d``, OpenPose's) or "none".
        box: "joints" (1.2 times the box of the labeled joints) or "detector" (OpenPose's; frames without any are
            skipped).
        stride: use every n-th row.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        root: str,
        split: str = "test",
        body: str | None = None,
        evidence: str = "truth",
        box: str = "joints",
        stride: int = 1,
        cache: bool = False,
    ):
        if split not in _SPLITS:
            raise UserError(f"split of ThreeDPW is {split!r}, expected one of {', '.join(_SPLITS)}")
        if box not in ("joints", "detector"):
            raise UserError(f"box of ThreeDPW is {box!r}, expected joints or detector")
        if stride < 1:
            raise UserError(f"stride of ThreeDPW is {stride}, expected at least 1")
        self.root, self.split, self.body, self.evidence = Path(root), split, body, check_evidence(evidence)
        self.box, self.stride, self.cache = box, stride, cache

    @property
    def label_body(self) -> str:
        """Return SMPL."""
        return "SMPL"

    @cached_property
    def _sequences(self) -> list[_People]:
        folders = [self.root / "sequenceFiles" / name for name in _SPLITS[self.split]]
        folder = next((f for f in folders if f.is_dir()), folders[0])
        paths = sorted(require_path(folder, "folder", _HOW).glob("*.pkl"))
        if not paths:
            raise UserError(f"folder {folder} contains no sequence (.pkl); {_HOW}")
        return [_read_sequence(path) for path in paths]

    @cached_property
    def _rows(self) -> list[tuple[int, int]]:
        rows = []
        for number, people in enumerate(self._sequences):
            seen = (people.detected[:, 2] > 0).sum(1) > 1
            rows += [(number, r) for r in range(len(people.frame)) if self.box == "joints" or seen[r]]
        return rows[:: self.stride]

    @cached_property
    def _bodies(self) -> dict[int, Body]:
        return {GENDERS.index(g): load_body(str(self.body), g).double() for g in ("male", "female")}

    def prepare(self) -> None:
        """Read all sequences and bodies, and check that the first and last image exist."""
        for number, row in (self._rows[0], self._rows[-1]) if self._rows else ():
            people = self._sequences[number]
            require_path(self._path(people, row), "image", _HOW)
        if self.body is not None:
            _ = self._bodies

    def _path(self, people: _People, row: int) -> Path:
        return self.root / "imageFiles" / people.sequence / f"image_{int(people.frame[row]):05d}.jpg"

    def __len__(self) -> int:
        return len(self._rows)

    def _joints(
        self, people: _People, row: int, rotations: Float[torch.Tensor, "1 24 3 3"]
    ) -> tuple[Float[np.ndarray, "49 3"], Float[np.ndarray, "49"]]:
        """Return the 49 joints in camera axes, and which of them are known."""
        camera = people.camera[row]
        known = np.ones(49, np.float32)
        if self.body is None:
            joints = people.joints[row] @ camera[:3, :3].T + camera[:3, 3]
            known = np.array([c < 24 for c in CANDIDATES], np.float32)
            return joints[[c if c < 24 else 0 for c in CANDIDATES]], known
        body = self._bodies[int(people.gender[row])]
        with torch.inference_mode():
            out = body(rotations, torch.from_numpy(people.shape[row : row + 1]))
        # The body rotates about its rest pelvis J₀, so in camera axes it is translated by R (t + J₀) + T − J₀.
        rest = out.skeleton_m[0, 0].numpy()
        moved = camera[:3, :3] @ (people.translation[row] + rest) + camera[:3, 3] - rest
        return out.joints_m[0].numpy() + moved, known

    def __getitem__(self, index: int) -> MeshSample:
        number, row = self._rows[index]
        people = self._sequences[number]
        path = self._path(people, row)
        rotations = rotvec_to_rotmat(torch.from_numpy(people.pose[row : row + 1]))
        rotations[:, 0] = torch.from_numpy(people.camera[row, :3, :3]) @ rotations[:, 0]
        joints, known = self._joints(people, row, rotations)
        pixels = joints @ people.intrinsics.T
        pixels = pixels[:, :2] / np.maximum(pixels[:, 2:], 1e-6)
        detected, confidence = np.zeros((49, 2)), np.zeros(49)
        for slot, position in COCO18_SLOTS:
            at = len(OPENPOSE25) + slot
            detected[at] = people.detected[row, :2, position]
            confidence[at] = people.detected[row, 2, position]
        box = joint_box(pixels, known) if self.box == "joints" else joint_box(detected, confidence)
        truth: dict[str, Any] = {"truth": (pixels, known), "detector": (detected, confidence)}
        evidence, sure = truth.get(self.evidence, (pixels, np.zeros(49)))
        size = image_size(path)
        image, reduction = self.decode(path, box)
        return MeshSample(
            image=image,
            reduction=reduction,
            box_px=box,
            name=f"{path}#{int(row)}",
            keypoints_px=pixels.astype(np.float32),
            keypoints_confidence=known,
            evidence_px=evidence.astype(np.float32),
            evidence_confidence=np.asarray(sure, np.float32),
            joints_m=self._relative(joints, known).astype(np.float32),
            joints_confidence=known.copy(),
            rotations=rotations[0].float().numpy(),
            shape=people.shape[row].astype(np.float32),
            has_mesh=True,
            image_size=size,
            focal_px=float(people.intrinsics[[0, 1], [0, 1]].mean()),
            gender=int(people.gender[row]),
        )

    @staticmethod
    def _relative(joints: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Subtract the pelvis of the 49; without a body, SMPL's own pelvis."""
        return center_on_root(joints, known) if known.all() else joints - joints[OPENPOSE25.index("openpose_pelvis")]

"""Rendered images of the built-in body: exact mesh, camera and joints, and a simulated 2D detector."""

from pathlib import Path

import numpy as np
import torch
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.data.base import MeshDataset, check_evidence, joint_box
from meshtto.data.datasets.render_cache import read_labels, render_images
from meshtto.data.simulated_detector import Detector
from meshtto.types import MeshSample

__all__ = ["BuiltinMeshes"]


class BuiltinMeshes(MeshDataset):
    """The first `count` people of a series; `prepare` renders missing images.

    Args:
        style: "plain" (flat colors, hard light) or "photo" (textures, soft light, occlusions, camera effects).
        count: number of people, before `facing` filters them.
        seed: seed of the series; use different seeds for training and test data.
        size: side of the square images in pixels.
        evidence: 2D joints for use at test time: "detector" (simulated), "truth" or "none".
        root: folder of all series; each has a subfolder.
        poses: pose families of `hamipose.synthetic.people.pose_distributions.FAMILIES`; default: all.
        detector: errors of the simulated detector.
        occluders: whether training adds occluders to these people.
        workers: rendering processes; default: one per CPU.
        cache: keep decoded images in memory.
        facing: only people who face the camera within 60° and whose trunk leans at most 45° (two in five): an easier
            task for networks that are trained in minutes.
    """

    def __init__(
        self,
        style: str = "plain",
        count: int = 2000,
        seed: int = 0,
        size: int = 256,
        evidence: str = "detector",
        root: str = "cache/meshes",
        poses: list[str] | None = None,
        detector: Detector | None = None,
        occluders: bool = False,
        workers: int | None = None,
        cache: bool = False,
        facing: bool = False,
    ):
        self.facing = facing
        self.style, self.count, self.seed, self.size = style, count, seed, size
        self.evidence = check_evidence(evidence)
        suffix = "" if poses is None else "-" + "-".join(sorted(poses))
        self.root = Path(root) / f"{style}-{size}-{seed}{suffix}"
        self.poses, self.workers, self.cache, self.occluders = poses, workers, cache, occluders
        self.detector = detector or Detector()
        self._labels: dict[str, np.ndarray] | None = None
        self._indices: np.ndarray | None = None

    @property
    def label_body(self) -> str:
        """Return the name of the built-in body."""
        return "builtin"

    def check(self) -> None:
        """Do nothing: `prepare` renders missing images."""

    def prepare(self) -> None:
        """Render missing images."""
        render_images(self.root, self.style, self.count, self.size, self.seed, self.poses, self.workers)

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """Return the label arrays of all people, read on first use."""
        if self._labels is None:
            labels = read_labels(self.root / "labels.npz")
            if len(labels["pose"]) < self.count:
                raise UserError(
                    f"{self.root} contains {len(labels['pose'])} people, but {self.count} are needed; call prepare()"
                )
            pose = torch.from_numpy(labels["pose"].reshape(-1, 24, 3)).double()
            labels["rotations"] = rotvec_to_rotmat(pose).float().numpy()
            self._labels = labels
        return self._labels

    @property
    def indices(self) -> np.ndarray:
        """Return the indices in the series of the people of this set."""
        if self._indices is None:
            root = self.labels["rotations"][: self.count, 0]
            towards, upright = -root[:, 2, 2] > np.cos(np.pi / 3), -root[:, 1, 1] > np.cos(np.pi / 4)
            self._indices = np.flatnonzero(towards & upright) if self.facing else np.arange(self.count)
        return self._indices

    def __len__(self) -> int:
        return len(self.indices) if self.facing else self.count

    def __getitem__(self, index: int) -> MeshSample:
        labels, index = self.labels, int(self.indices[index])
        keypoints, visibility = labels["keypoints"][index], labels["visibility"][index].astype(np.int64)
        full_confidence = np.ones(len(keypoints), np.float32)
        if self.evidence == "detector":
            rng = np.random.default_rng([self.seed, index, 1])
            evidence, confidence = self.detector.detect(keypoints.astype(np.float64), visibility, rng)
        else:
            evidence, confidence = keypoints.copy(), full_confidence * (self.evidence == "truth")
        box = joint_box(keypoints, full_confidence)
        path = self.root / str(labels["imgname"][index])
        image, reduction = self.decode(path, box)
        return MeshSample(
            image=image,
            box_px=box,
            name=str(path),
            keypoints_px=keypoints.copy(),
            keypoints_confidence=full_confidence,
            evidence_px=evidence,
            evidence_confidence=confidence,
            joints_m=labels["joints"][index].copy(),
            joints_confidence=full_confidence.copy(),
            rotations=labels["rotations"][index].copy(),
            shape=labels["shape"][index].copy(),
            has_mesh=True,
            image_size=np.array([self.size, self.size], np.float32),
            focal_px=float(labels["focal_length"][index]),
            reduction=reduction,
        )

"""Pictures of the built-in body as a data set: exact mesh, camera and joints, and a simulated 2D detector."""

from pathlib import Path

import numpy as np
import torch
from roma import rotvec_to_rotmat

from hamipose.errors import InputError
from meshtto.data.base import MeshDataset, box_of_joints, known_evidence
from meshtto.data.datasets.render_cache import make_pictures, read_labels
from meshtto.data.simulated_detector import Detector
from meshtto.types import MeshSample

__all__ = ["BuiltinMeshes"]


class BuiltinMeshes(MeshDataset):
    """The first `count` people of a series; `prepare` makes those that are missing.

    Args:
        look: "plain" (flat colours, hard light) or "photo" (textures, soft light, things in the way, camera faults).
        count: how many people, before `facing` chooses among them.
        seed: which series; give test data another seed than training data.
        size: side of the square pictures in pixels.
        evidence: 2D joints for use at test time: "detector" (simulated), "truth" or "none".
        root: folder of all series; this one is in a folder of its own below.
        poses: families of poses, of `hamipose.synthetic.families.FAMILIES`; all where not given.
        detector: faults of the simulated detector.
        occluders: whether training puts cut-outs before these people.
        workers: processes that render; by default one a processor.
        cache: keep decoded pictures in memory.
        facing: only those who look at most 60° away from the camera and whose trunk leans at most 45° (two in five): an
            easier world for networks that are trained in minutes.
    """

    def __init__(
        self,
        look: str = "plain",
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
        self.look, self.count, self.seed, self.size = look, count, seed, size
        self.evidence = known_evidence(evidence)
        some = "" if poses is None else "-" + "-".join(sorted(poses))
        self.root = Path(root) / f"{look}-{size}-{seed}{some}"
        self.poses, self.workers, self.cache, self.occluders = poses, workers, cache, occluders
        self.detector = detector or Detector()
        self._labels: dict[str, np.ndarray] | None = None
        self._places: np.ndarray | None = None

    @property
    def labels_of(self) -> str:
        """Of the built-in body."""
        return "builtin"

    def check(self) -> None:
        """Nothing is needed; `prepare` renders what is missing."""

    def prepare(self) -> None:
        """Renders the pictures that are missing."""
        make_pictures(self.root, self.look, self.count, self.size, self.seed, self.poses, self.workers)

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """Arrays of all people, read on first use."""
        if self._labels is None:
            labels = read_labels(self.root / "labels.npz")
            if len(labels["pose"]) < self.count:
                raise InputError(
                    f"{self.root} holds {len(labels['pose'])} people, asked for are {self.count}; call prepare()"
                )
            pose = torch.from_numpy(labels["pose"].reshape(-1, 24, 3)).double()
            labels["rotations"] = rotvec_to_rotmat(pose).float().numpy()
            self._labels = labels
        return self._labels

    @property
    def places(self) -> np.ndarray:
        """Numbers in the series of the people of this set."""
        if self._places is None:
            root = self.labels["rotations"][: self.count, 0]
            towards, upright = -root[:, 2, 2] > np.cos(np.pi / 3), -root[:, 1, 1] > np.cos(np.pi / 4)
            self._places = np.flatnonzero(towards & upright) if self.facing else np.arange(self.count)
        return self._places

    def __len__(self) -> int:
        return len(self.places) if self.facing else self.count

    def __getitem__(self, index: int) -> MeshSample:
        labels, index = self.labels, int(self.places[index])
        keypoints, visibility = labels["keypoints"][index], labels["visibility"][index].astype(np.int64)
        sure = np.ones(len(keypoints), np.float32)
        if self.evidence == "detector":
            rng = np.random.default_rng([self.seed, index, 1])
            evidence, confidence = self.detector.detect(keypoints.astype(np.float64), visibility, rng)
        else:
            evidence, confidence = keypoints.copy(), sure * (self.evidence == "truth")
        box = box_of_joints(keypoints, sure)
        path = self.root / str(labels["imgname"][index])
        image, reduction = self.decode(path, box)
        return MeshSample(
            image=image,
            box_px=box,
            name=str(path),
            keypoints_px=keypoints.copy(),
            keypoints_confidence=sure,
            evidence_px=evidence,
            evidence_confidence=confidence,
            joints_m=labels["joints"][index].copy(),
            joints_confidence=sure.copy(),
            rotations=labels["rotations"][index].copy(),
            shape=labels["shape"][index].copy(),
            has_mesh=True,
            image_size=np.array([self.size, self.size], np.float32),
            focal_px=float(labels["focal_length"][index]),
            reduction=reduction,
        )

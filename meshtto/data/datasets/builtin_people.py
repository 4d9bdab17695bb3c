"""Base class of data sets of the built-in body, rendered or not: labels from a file, and simulated evidence."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.data.base import MeshDataset, check_evidence, joint_box
from meshtto.data.datasets.render_cache import read_labels
from meshtto.data.simulated_detector import Detector
from meshtto.types import MeshSample

__all__ = ["BuiltinPeople"]


class BuiltinPeople(MeshDataset):
    """The first `count` people of a series, whose labels are in one file.

    Args:
        count: number of people in the series.
        seed: seed of the series.
        size: side of the square images in pixels.
        evidence: 2D joints for use at test time: "detector" (simulated), "truth" or "none".
        detector: errors of the simulated detector.
        place: folder or file of the series, for messages.
        labels_file: file of the labels.
    """

    def __init__(
        self, count: int, seed: int, size: int, evidence: str, detector: Detector | None, place: Path, labels_file: Path
    ):
        self.count, self.seed, self.size = count, seed, size
        self.evidence = check_evidence(evidence)
        self.detector = detector or Detector()
        self._place, self._labels_file = place, labels_file
        self._labels: dict[str, np.ndarray] | None = None

    @property
    def label_body(self) -> str:
        """Return the name of the built-in body."""
        return "builtin"

    def check(self) -> None:
        """Do nothing: `prepare` makes missing people."""

    @abstractmethod
    def read_image(
        self, index: int, box_px: Float[np.ndarray, "4"]
    ) -> tuple[str, UInt8[np.ndarray, "height width 3"], int]:
        """Return name, image and reduction (:class:`MeshSample`) of a person of the series.

        Args:
            index: index in the series.
            box_px: the person's box.
        """

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """Return the label arrays of all people, read on first use."""
        if self._labels is None:
            labels = read_labels(self._labels_file)
            if len(labels["pose"]) < self.count:
                raise UserError(
                    f"{self._place} contains {len(labels['pose'])} people, but {self.count} are needed; call prepare()"
                )
            pose = torch.from_numpy(labels["pose"].reshape(-1, 24, 3)).double()
            labels["rotations"] = rotvec_to_rotmat(pose).float().numpy()
            self._labels = labels
        return self._labels

    def person(self, index: int) -> MeshSample:
        """Return a person of the series.

        Args:
            index: index in the series.
        """
        labels = self.labels
        keypoints, visibility = labels["keypoints"][index], labels["visibility"][index].astype(np.int64)
        full_confidence = np.ones(len(keypoints), np.float32)
        if self.evidence == "detector":
            rng = np.random.default_rng([self.seed, index, 1])
            evidence, confidence = self.detector.detect(keypoints.astype(np.float64), visibility, rng)
        else:
            evidence, confidence = keypoints.copy(), full_confidence * (self.evidence == "truth")
        box = joint_box(keypoints, full_confidence)
        name, image, reduction = self.read_image(index, box)
        return MeshSample(
            image=image,
            box_px=box,
            name=name,
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

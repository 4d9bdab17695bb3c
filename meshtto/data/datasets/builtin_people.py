"""Base class of data sets of the built-in body, rendered or not: labels from a file, and simulated evidence."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from roma import rotvec_to_rotmat

from hamipose.errors import UserError
from meshtto.data.base import MeshDataset, check_evidence, joint_box
from meshtto.data.datasets.render_cache import read_labels
from meshtto.data.people import People
from meshtto.data.simulated_detector import Detector, DetectorDraws
from meshtto.joints import JOINTS49
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

    def people(self, indices: Sequence[int] | Int[np.ndarray, " person"], draws: DetectorDraws) -> People:
        """Return people of the series without their images.

        Args:
            indices: indices in the series.
            draws: random numbers of the simulated detector.
        """
        labels, rows = self.labels, np.asarray(indices)
        keypoints, visibility = labels["keypoints"][rows], labels["visibility"][rows].astype(np.int64)
        if self.evidence == "detector":
            evidence, confidence = self.detector.apply(keypoints, visibility, draws)
        else:
            evidence = keypoints.copy()
            confidence = np.full(keypoints.shape[:2], float(self.evidence == "truth"), np.float32)
        return People(
            name=[f"{self._place.stem}#{row}" for row in rows.tolist()],
            keypoints_px=keypoints,
            evidence_px=evidence,
            evidence_confidence=confidence,
            joints_m=labels["joints"][rows],
            rotations=labels["rotations"][rows],
            shape=labels["shape"][rows],
            image_size=np.full((len(rows), 2), self.size, np.float32),
            focal_px=labels["focal_length"][rows],
        )

    def person(self, index: int) -> MeshSample:
        """Return a person of the series, with the same evidence each time.

        Args:
            index: index in the series.
        """
        people = self.people([index], self.detector.draw(np.random.default_rng([self.seed, index, 1]), 1))
        full_confidence = np.ones(len(JOINTS49), np.float32)
        box = joint_box(people.keypoints_px[0], full_confidence)
        name, image, reduction = self.read_image(index, box)
        return MeshSample(
            image=image,
            box_px=box,
            name=name,
            keypoints_px=people.keypoints_px[0],
            keypoints_confidence=full_confidence,
            evidence_px=people.evidence_px[0],
            evidence_confidence=people.evidence_confidence[0],
            joints_m=people.joints_m[0],
            joints_confidence=full_confidence.copy(),
            rotations=people.rotations[0],
            shape=people.shape[0],
            has_mesh=True,
            image_size=people.image_size[0],
            focal_px=float(people.focal_px[0]),
            reduction=reduction,
        )

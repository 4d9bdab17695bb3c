"""2D data sets of `hamipose` as people without a mesh: LSP-Extended, LSP, COCO, MPII."""

import numpy as np

from hamipose.data.base import KeypointDataset
from hamipose.errors import UserError
from meshtto.data.base import MeshDataset, check_evidence, joint_box, unknown_mesh
from meshtto.joints import COCO17_SLOTS, LSP14_SLOTS, MPII16_SLOTS, OPENPOSE25
from meshtto.types import MeshSample

__all__ = ["KeypointsOnly"]

_SLOTS = {"lsp14": LSP14_SLOTS, "coco17": COCO17_SLOTS, "body16": MPII16_SLOTS}


class KeypointsOnly(MeshDataset):
    """People with 2D joints only.

    Args:
        dataset: a labeled set of ``hamipose.data`` with the keypoints of lsp14, coco17 or body16 (MPII's), such as
            ``hamipose.data.LeedsSportsExtended``.
        evidence: 2D joints for use at test time: "truth" or "none".
        box: "joints" (1.2 times the box of the joints; the data set's box if fewer than two are known) or "file" (the
            data set's box).
    """

    def __init__(self, dataset: KeypointDataset, evidence: str = "truth", box: str = "joints"):
        if box not in ("joints", "file"):
            raise UserError(f"box is {box!r}, expected joints or file")
        if check_evidence(evidence) == "detector":
            raise UserError("evidence is 'detector', but KeypointsOnly has none; expected truth or none")
        if dataset.skeleton.name not in _SLOTS:
            raise UserError(
                f"dataset has the keypoints of {dataset.skeleton.name}, expected one of {', '.join(_SLOTS)}"
            )
        self.dataset, self.evidence, self.box = dataset, evidence, box
        self._slots = np.array(_SLOTS[dataset.skeleton.name]) + len(OPENPOSE25)

    def prepare(self) -> None:
        """Prepare the wrapped set."""
        self.dataset.prepare()

    def check(self) -> None:
        """Check the wrapped set."""
        self.dataset.check()

    def skipped_messages(self) -> list[str]:
        """Return the lines of the wrapped set."""
        return self.dataset.skipped_messages()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> MeshSample:
        sample = self.dataset[index]
        pixels, confidence = np.zeros((49, 2), np.float32), np.zeros(49, np.float32)
        pixels[self._slots] = sample.keypoints_px
        confidence[self._slots] = sample.visibility > 0
        use_joints = self.box == "joints" and (confidence > 0).sum() > 1
        box = joint_box(pixels.astype(np.float64), confidence) if use_joints else sample.box_px.astype(np.float64)
        height, width = sample.image.shape[:2]
        return MeshSample(
            image=sample.image,
            box_px=box,
            name=sample.name,
            keypoints_px=pixels,
            keypoints_confidence=confidence,
            evidence_px=pixels.copy(),
            evidence_confidence=confidence * (self.evidence == "truth"),
            joints_m=np.zeros((49, 3), np.float32),
            joints_confidence=np.zeros(49, np.float32),
            image_size=np.array([width, height], np.float32),
            focal_px=float(np.hypot(width, height)),
            **unknown_mesh(),
        )

"""A data set of people with meshes whose images show a dot per joint, made without rendering."""

from functools import lru_cache

import numpy as np
import roma
import torch

from meshtto.body import load_body
from meshtto.camera import project
from meshtto.data.base import MeshDataset, joint_box
from meshtto.joints import JOINTS49
from meshtto.types import MeshSample


@lru_cache
def _people(count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return rotations, shapes, joints in meters, and joints in pixels of 64-pixel images."""
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=generator))
    rotations[:, 0] = roma.rotvec_to_rotmat(torch.tensor([np.pi, 0.0, 0.0])) @ rotations[:, 0]  # y up to y down
    shape = 0.5 * torch.randn(count, 10, generator=generator)
    joints = load_body()(rotations, shape).joints_m
    camera = torch.tensor([[0.1, 0.2, 5.0]]).expand(count, 3)
    pixels = project(joints, camera, torch.full((count,), 90.0), torch.full((count, 2), 31.5))
    return tuple(x.numpy() for x in (rotations, shape, joints, pixels))


class DotMeshes(MeshDataset):
    """Exactly labeled people, each joint a dot.

    Args:
        count: number of people.
        seed: seed of their poses and shapes.
        mesh: whether they have mesh labels.
    """

    def __init__(self, count: int, seed: int = 0, mesh: bool = True):
        self.count, self.seed, self.mesh, self.evidence = count, seed, mesh, "truth"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> MeshSample:
        rotations, shape, joints, pixels = (part[index].copy() for part in _people(self.count, self.seed))
        image = np.full((64, 64, 3), 30, np.uint8)
        for number, (x, y) in enumerate(pixels.round().astype(int)):
            if 0 <= x < 64 and 0 <= y < 64:
                image[y, x] = (5 * number, 255 - 5 * number, 50 + 4 * number)
        known = np.ones(49, np.float32)
        return MeshSample(
            image=image,
            box_px=joint_box(pixels, known),
            name=f"{self.seed}/{index}",
            keypoints_px=pixels,
            keypoints_confidence=known,
            evidence_px=pixels + 0.5,
            evidence_confidence=0.9 * known,
            joints_m=joints - joints[JOINTS49.index("pelvis")],
            joints_confidence=known,
            rotations=rotations,
            shape=shape,
            has_mesh=self.mesh,
            image_size=np.array([64, 64], np.float32),
            focal_px=90.0,
        )

"""The head of HMR (Kanazawa et al., CVPR 2018) as SPIN and CLIFF have it: iterative error feedback over 6D
rotations.
"""

from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshtto.test_time import HeldLinear

__all__ = ["Estimate", "IterativeHead", "rotations_from_6d"]

_POSE, _SHAPE, _CAMERA = 24 * 6, 10, 3


class Estimate(NamedTuple):
    """What a head says of each image."""

    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]


def rotations_from_6d(pose: Float[Tensor, "batch 144"]) -> Float[Tensor, "batch 24 3 3"]:
    """Six numbers a joint, read as a 3 × 2 matrix whose columns are made orthonormal (Zhou et al., CVPR 2019, eq.
    15).
    """
    return roma.special_gramschmidt(pose.view(-1, 24, 3, 2))


class IterativeHead(nn.Module):
    r"""Starts from mean parameters :math:`\Theta_0` and corrects them n times, :math:`\Theta \leftarrow \Theta +
    R(\phi, \Theta)`.

    R is two linear layers of 1024 with dropout and, as published, no activation between them, and one linear decoder
    each for pose, shape and camera.

    Args:
        features: numbers of an image.
        told: numbers of its box.
        mean_pose: 24 × 6 numbers to start from.
        mean_shape: 10 numbers.
        mean_camera: scale and shift.
        iterations: n.
        dropout: probability.
        width: of the two layers.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(
        self,
        features: int,
        told: int,
        mean_pose: Float[Tensor, "144"],
        mean_shape: Float[Tensor, "10"],
        mean_camera: Float[Tensor, "3"],
        iterations: int = 3,
        dropout: float = 0.5,
        width: int = 1024,
    ) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"iterations is {iterations}: expected at least 1")
        self.iterations = iterations
        self.fc1 = HeldLinear(features + told + _POSE + _SHAPE + _CAMERA, width)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(width, width)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(width, _POSE)
        self.decshape = nn.Linear(width, _SHAPE)
        self.deccam = nn.Linear(width, _CAMERA)
        for decoder in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(decoder.weight, gain=0.01)  # begins next to the mean
        self.register_buffer("init_pose", mean_pose[None].clone())
        self.register_buffer("init_shape", mean_shape[None].clone())
        self.register_buffer("init_cam", mean_camera[None].clone())

    def forward(self, features: Float[Tensor, "batch feature"], told: Float[Tensor, "batch told"]) -> Estimate:
        """Features of images, and what is told of their boxes → estimates."""
        return self.finish(*self.begin(features, told))

    def begin(
        self, features: Float[Tensor, "batch feature"], told: Float[Tensor, "batch told"]
    ) -> tuple[Float[Tensor, "batch held"], Float[Tensor, "batch width"]]:
        """What all iterations have in common: φ, and the first layer's share of it, four fifths of the head's work."""
        held = torch.cat([features, told], 1)
        return held, self.fc1.hold(held)

    def finish(self, held: Float[Tensor, "batch held"], of_held: Float[Tensor, "batch width"]) -> Estimate:
        """The iterations."""
        batch = len(held)
        pose = self.init_pose.expand(batch, -1)
        shape = self.init_shape.expand(batch, -1)
        camera = self.init_cam.expand(batch, -1)
        for _ in range(self.iterations):
            hidden = self.drop1(self.fc1(held, torch.cat([pose, shape, camera], 1), of_held))
            hidden = self.drop2(self.fc2(hidden))
            pose = pose + self.decpose(hidden)
            shape = shape + self.decshape(hidden)
            camera = camera + self.deccam(hidden)
        return Estimate(rotations_from_6d(pose), shape, camera)

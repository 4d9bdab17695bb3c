"""The iterative error feedback head of HMR (Kanazawa et al., CVPR 2018) over 6D rotations, as in SPIN and CLIFF."""

from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshtto.test_time import SplitLinear

__all__ = ["Estimate", "IterativeHead", "rotations_from_6d"]

_POSE, _SHAPE, _CAMERA = 24 * 6, 10, 3


class Estimate(NamedTuple):
    """Output of a head for each image."""

    rotations: Float[Tensor, "batch 24 3 3"]
    shape: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]


def rotations_from_6d(pose: Float[Tensor, "batch 144"]) -> Float[Tensor, "batch 24 3 3"]:
    """Orthonormalize six numbers per joint, read as a 3 × 2 matrix, to rotations (Zhou et al., CVPR 2019, eq. 15)."""
    return roma.special_gramschmidt(pose.view(-1, 24, 3, 2))


class IterativeHead(nn.Module):
    r"""Regress body parameters by iterative error feedback.

    Starts from mean parameters :math:`\Theta_0` and corrects them n times, :math:`\Theta \leftarrow \Theta + R(\phi,
    \Theta)`. R consists of two linear layers of 1024 units with dropout and, as published, no activation between them,
    followed by one linear decoder each for pose, shape and camera.

    Args:
        features: number of image features.
        box_features: number of box features.
        mean_pose: 24 × 6 initial numbers.
        mean_shape: ten initial numbers.
        mean_camera: initial scale and translation.
        iterations: n.
        dropout: dropout probability.
        width: units of the two layers.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(
        self,
        features: int,
        box_features: int,
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
        self.fc1 = SplitLinear(features + box_features + _POSE + _SHAPE + _CAMERA, width)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(width, width)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(width, _POSE)
        self.decshape = nn.Linear(width, _SHAPE)
        self.deccam = nn.Linear(width, _CAMERA)
        for decoder in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(decoder.weight, gain=0.01)  # so that outputs start near the mean
        self.register_buffer("init_pose", mean_pose[None].clone())
        self.register_buffer("init_shape", mean_shape[None].clone())
        self.register_buffer("init_cam", mean_camera[None].clone())

    def forward(
        self, features: Float[Tensor, "batch feature"], box_features: Float[Tensor, "batch box_features"]
    ) -> Estimate:
        """Map features of images and of their boxes to estimates."""
        return self.finish(*self.begin(features, box_features))

    def begin(
        self, features: Float[Tensor, "batch feature"], box_features: Float[Tensor, "batch box_features"]
    ) -> tuple[Float[Tensor, "batch held"], Float[Tensor, "batch width"]]:
        """Compute φ, which all iterations share, and the first layer's output for it: 4/5 of the head's work."""
        held = torch.cat([features, box_features], 1)
        return held, self.fc1.fixed_part(held)

    def finish(self, held: Float[Tensor, "batch held"], of_held: Float[Tensor, "batch width"]) -> Estimate:
        """Run the iterations."""
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

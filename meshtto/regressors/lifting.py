"""Features of 2D keypoints, and the residual network over them (after Martinez et al., ICCV 2017)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshtto.joints import JOINTS49
from meshtto.types import MeshBatch

__all__ = ["KEYPOINT_FEATURES", "KeypointBackbone", "keypoint_features"]

#: Numbers per person: position and confidence of each joint, center and size of the keypoints, three box features.
KEYPOINT_FEATURES = 3 * len(JOINTS49) + 3 + 3

_BLOCKS = 3


def keypoint_features(batch: MeshBatch, box_features: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 153"]:
    """Return a batch's 2D evidence as a network reads it.

    Joints are relative to the center of the found joints and divided by half of their larger extent, so that the pose
    does not depend on the box; joints that were not found are 0. Center and size follow, in half crops.

    Args:
        batch: its evidence and the size of its crops are used.
        box_features: features of the crops' positions.
    """
    confidence = batch.evidence_confidence
    found = (confidence > 0)[..., None]
    height, width = batch.image.shape[-2:]
    middle = batch.evidence_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    points = (batch.evidence_px - middle) / (height / 2)
    low = torch.where(found, points, torch.inf).amin(1)
    high = torch.where(found, points, -torch.inf).amax(1)
    low, high = (torch.where(found.any(1), bound, 0.0) for bound in (low, high))
    center = (low + high) / 2
    size = ((high - low).amax(-1, keepdim=True) / 2).clamp(min=1e-3)
    points = torch.where(found, (points - center[:, None]) / size[:, None], 0.0)
    return torch.cat([points.flatten(1), confidence, center, size.log(), box_features], 1)


class KeypointBackbone(nn.Module):
    """Residual fully connected network.

    Args:
        inputs: numbers per person.
        width: units of all layers.
        dropout: dropout probability.
    """

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.num_features = width
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)),
                nn.Linear(width, width),
            )
            for _ in range(_BLOCKS)
        )
        self.last = nn.LayerNorm(width)

    def forward(self, inputs: Float[Tensor, "batch number"]) -> Float[Tensor, "batch width"]:
        """Return the features of each person."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden).relu()

"""Maps that are logarithms of densities, made such that they can be decoded as heatmaps are."""

import torch
from jaxtyping import Float
from torch import nn

__all__ = ["Density"]


class Density(nn.Module):
    """A network whose maps are logarithms of densities, scaled so that each map's peak is 1: what can be decoded.

    Args:
        network: gives the logarithms.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Float[torch.Tensor, "batch 3 height width"]) -> Float[torch.Tensor, "batch keypoint h w"]:
        """Return exp(map − its maximum) of normalized images."""
        maps = self.network(images).float()
        return (maps - maps.amax((2, 3), keepdim=True)).exp()

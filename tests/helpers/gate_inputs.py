"""Gradients, metrics and confidences as inputs of gates."""

import torch
from torch import Tensor, nn

from hamipose.losses import consistency, heatmap_mse

#: Numbers of keypoints and of parameters per row of the last layer.
K, P = 5, 9


def make_gradients(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return two gradients, a positive diagonal metric and confidences."""
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, K, P, generator=generator, dtype=dtype)
    metric = torch.rand(K, P, generator=generator, dtype=dtype) * 10 + 0.01
    return source, target, metric, torch.rand(K, generator=generator, dtype=dtype)


class LastLayer(nn.Module):
    """A 1 × 1 layer with features and targets of two domains."""

    def __init__(self, channels: int = P - 1, batch: int = 3, height: int = 6, width: int = 4):
        super().__init__()
        self.layer = nn.Conv2d(channels, K, 1)
        self.features = {d: torch.randn(batch, channels, height, width) for d in ("source", "target")}
        self.truth = {d: torch.randn(batch, K, height, width) for d in ("source", "target")}

    def losses(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return heatmaps and losses per keypoint of both domains."""
        maps = {d: self.layer(f) for d, f in self.features.items()}
        return maps, {
            "source": heatmap_mse(maps["source"], self.truth["source"], torch.rand(3, K), "sum"),
            "target": consistency(maps["target"], self.truth["target"], None, "sum"),
        }

    def rows(self, gradient: tuple[Tensor, Tensor]) -> Tensor:
        """Return the gradients of weight and bias as one row per keypoint."""
        weight, bias = gradient
        return torch.cat([weight.flatten(1), bias[:, None]], 1)

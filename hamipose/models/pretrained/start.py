"""The interface of pretrained pose networks, whatever format their weights come in."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hamipose.heatmaps import decode
from hamipose.skeletons import Skeleton

__all__ = ["Start"]


class Start(nn.Module, ABC):
    """A pretrained pose network, with the interface of :class:`hamipose.models.network.PoseNetwork` and more.

    Images are normalized as everywhere in this package (:func:`hamipose.models.preprocess.normalise`); a network that
    was trained on another range converts them itself. Cells of heatmaps lie on the image as :mod:`hamipose.heatmaps`
    says; a network that was trained with another grid shifts its input.

    Attributes:
        final: the last layer, a 1 × 1 convolution with a row for each keypoint; its outputs are logits.
        skeleton: the keypoints' names and order.
        image_size: side of the square crops that it was trained on, in pixels.
        aspect: width by height of what the network sees in the middle of a square crop.
        passes: how often to look at a person by default, each time at the crop that the alignment points of the last
            pass give; 1 for networks without such points.
        box_margin: the side of that crop is twice the distance of the two points times this.
    """

    final: nn.Conv2d
    skeleton: Skeleton
    image_size: int
    aspect: float = 1.0
    passes: int = 1
    box_margin: float = 1.25
    stride = 4

    @abstractmethod
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return what the last layer reads, at a quarter of the images' size."""

    @property
    def feature_channels(self) -> int:
        """Width of the features; a row of the last layer has one parameter more, its bias."""
        return self.final.in_channels

    def logits(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return ``final(features(images))``, whose gradients the gate compares."""
        return self.final(self.features(images))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → heatmaps in [0, 1], the sigmoid of the logits."""
        return self.logits(images).sigmoid()

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        """Return the middle of each person and a point above it, in pixels of the crop.

        The second point is as far from the first as the farthest part of the body, and above it where the person
        stands upright: what a closer, upright crop follows from (:func:`hamipose.affine.upright_box`).

        Args:
            images: normalized.

        Raises:
            NotImplementedError: the network has no such points; its `passes` is 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no alignment points")

    @torch.no_grad()
    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return keypoints in pixels of the crop, and their confidences."""
        return decode(heatmaps, stride=self.stride)

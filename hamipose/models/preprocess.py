"""Conversion between image bytes and the normalized images that networks read."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "denormalize", "normalize"]

#: Channel statistics of ImageNet in [0, 1], as every torchvision network and nearly every timm network expects.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Convert RGB bytes to (value / 255 − mean) / std in single precision; the memory format is kept.

    >>> from hamipose.models import preprocess
    >>> preprocess.normalize(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))[0, :, 0, 0]
    tensor([-2.1179, -2.0357, -1.8044])
    """
    mean, std = images.new_tensor([IMAGENET_MEAN, IMAGENET_STD], dtype=torch.float32).view(2, 1, 3, 1, 1)
    return images.float().mul_(1 / (255 * std)).sub_(mean / std)


def denormalize(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Invert :func:`normalize`: return whole numbers from 0 to 255 as floats, for callers that choose the type."""
    mean, std = images.new_tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 1, 3, 1, 1)
    return ((images * std + mean) * 255).round().clamp(0, 255)

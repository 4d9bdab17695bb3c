"""From the bytes of an image to what a network reads."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "normalize"]

#: Channel statistics of ImageNet in [0, 1], as every torchvision and nearly every timm network expects.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(images: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """RGB bytes → (value / 255 − mean) / std, in single precision; the memory format is kept.

    >>> from hamipose.models import preprocess
    >>> preprocess.normalize(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))[0, :, 0, 0]
    tensor([-2.1179, -2.0357, -1.8044])
    """
    mean, std = images.new_tensor([IMAGENET_MEAN, IMAGENET_STD], dtype=torch.float32).view(2, 1, 3, 1, 1)
    return images.float().mul_(1 / (255 * std)).sub_(mean / std)

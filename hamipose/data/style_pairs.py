"""Training pairs of a style decoder: a content image and a style image from two domains."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from hamipose.data.base import ImageDataset
from hamipose.data.sampling import Pool
from hamipose.data.views import Views
from hamipose.types import UnlabeledSample

__all__ = ["StylePairs"]


class StylePairs(Dataset):
    """Pairs of content and style images; pair i is a pure function of (seed, i).

    In half of the batches the two domains are swapped (UniFrame).

    Args:
        content: images of one domain.
        style: images of the other domain.
        batch_size: pairs per batch; all pairs of a batch are swapped, or none.
        size: side of the square views in pixels.
        seed: random seed.
        views: augmentation of both.
    """

    def __init__(
        self,
        content: ImageDataset[UnlabeledSample],
        style: ImageDataset[UnlabeledSample],
        batch_size: int,
        size: int,
        seed: int = 0,
        views: Views = Views(rotation_deg=30.0, crop_area=0.6, scale=(0.6, 1.3)),  # noqa: B008  frozen
    ):
        self.pools = (Pool([content], seed, stream=0), Pool([style], seed, stream=1))
        self.batch_size = batch_size
        self.size = size
        self.seed = seed
        self.views = views

    def __getitem__(self, number: int) -> tuple[UInt8[Tensor, "3 size size"], UInt8[Tensor, "3 size size"]]:
        swapped = np.random.default_rng((self.seed, number // self.batch_size)).random() < 0.5
        images = []
        for domain, pool in enumerate(self.pools):
            rng = np.random.default_rng((self.seed, number, domain))
            image = self.views.view(pool.read(number), self.size, rng).image
            images.append(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
        return (images[1], images[0]) if swapped else (images[0], images[1])

"""BatchNorm running statistics, stored separately from their network: of one domain, or of other images."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hamipose.errors import UserError
from hamipose.models.preprocess import normalize

__all__ = ["BatchNormStatistics", "StatisticsDomain", "batchnorm_layers", "reestimate_statistics"]

#: The domain of the images whose means and variances a network normalizes with.
StatisticsDomain = Literal["source", "source and target", "target", "unknown"]


def batchnorm_layers(network: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers that keep running statistics, in the order of ``modules()``."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


class BatchNormStatistics(nn.Module):
    """Running means and variances of all BatchNorm layers of a network, concatenated in two vectors.

    The running statistics of a network that is trained on two domains are those of the mixture. This module keeps those
    of one domain: inside :meth:`tracking`, it applies the updates that a forward pass makes to the network's
    statistics, with the layers' own momentum. It is initialized with the network's statistics.

    Args:
        network: any network; no reference is kept.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        mean, variance = _running(network)
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)

    @torch.no_grad()
    def copy_from(self, network: nn.Module) -> None:
        """Copy the running statistics of a network."""
        self.assign(*_running(network))

    @torch.no_grad()
    def assign(self, mean: Float[Tensor, " channel"], variance: Float[Tensor, " channel"]) -> None:
        """Copy statistics given as vectors; if the lengths differ, copy the common first part."""
        count = min(len(mean), len(self.mean))
        self.mean[:count] = mean[:count].to(self.mean)
        self.variance[:count] = variance[:count].to(self.variance)

    @contextmanager
    def tracking(self, network: nn.Module) -> Iterator[None]:
        """Apply the updates of the forward passes inside the context.

        The network's own statistics change by :math:`r' = r + m (b - r)` with the batch statistics :math:`b`; it
        follows that :math:`s + m (b - s) = s + (r' - r) + m (r - s)`.
        """
        before, share = _running(network), _momentum(network, self.mean)
        yield
        with torch.no_grad():
            for own, old, new in zip((self.mean, self.variance), before, _running(network), strict=True):
                own.add_(new - old + share * (old - own))

    @torch.no_grad()
    def move_towards(self, other: "BatchNormStatistics", decay: float) -> None:
        """Move towards other statistics by one step of a moving average; decay 0 copies them."""
        self.mean.lerp_(other.mean, 1 - decay)
        self.variance.lerp_(other.variance, 1 - decay)

    @contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """Let a network in eval mode normalize with these statistics inside the context."""
        layers = batchnorm_layers(network)
        sizes = [layer.num_features for layer in layers]
        own = [(layer.running_mean, layer.running_var) for layer in layers]
        parts = zip(self.mean.split(sizes), self.variance.split(sizes), strict=True) if layers else iter(())
        for layer, (mean, variance) in zip(layers, parts, strict=True):
            layer.running_mean, layer.running_var = mean, variance
        try:
            yield
        finally:
            for layer, (kept_mean, kept_variance) in zip(layers, own, strict=True):
                layer.running_mean, layer.running_var = kept_mean, kept_variance

    @torch.no_grad()
    def write_to(self, network: nn.Module) -> None:
        """Copy these statistics to a network."""
        with self.applied_to(network):
            parts = [(layer.running_mean, layer.running_var) for layer in batchnorm_layers(network)]
        for layer, (mean, variance) in zip(batchnorm_layers(network), parts, strict=True):
            layer.running_mean.copy_(mean)  # type: ignore[union-attr, arg-type]
            layer.running_var.copy_(variance)  # type: ignore[union-attr, arg-type]

    @torch.no_grad()
    def distance(self, network: nn.Module) -> Float[Tensor, ""]:
        """Return the RMS difference of the means in standard deviations of these statistics; 0 without BatchNorm."""
        if not len(self.mean):
            return self.mean.new_zeros(())
        return ((_running(network)[0] - self.mean).square() / (self.variance + 1e-5)).mean().sqrt()


def _running(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Return all running means, and all running variances, as new vectors in single precision."""
    layers = batchnorm_layers(network)
    if not layers:
        return torch.zeros(0), torch.zeros(0)
    means, variances = ([getattr(layer, name) for layer in layers] for name in ("running_mean", "running_var"))
    return torch.cat(means).float(), torch.cat(variances).float()


def _momentum(network: nn.Module, like: Tensor) -> Tensor | float:
    """Return the weight of a batch in each running statistic; 0 for layers that are not updated."""
    layers = batchnorm_layers(network)
    momenta = [(layer.momentum or 0.0) if layer.training and layer.track_running_stats else 0.0 for layer in layers]
    if len(set(momenta)) < 2:
        return momenta[0] if momenta else 0.0
    sizes = torch.tensor([layer.num_features for layer in layers])
    return torch.tensor(momenta).repeat_interleave(sizes).to(like)


@torch.no_grad()
def reestimate_statistics(network: nn.Module, batches: Iterable[UInt8[Tensor, "_ 3 height width"]]) -> nn.Module:
    """Return a copy of a network with BatchNorm statistics of the given images, which need no labels.

    Each batch is normalized with its own statistics and weighted by its number of images; a last batch of one image is
    skipped. The copy is in eval mode. This is adaptation by statistics alone (AdaBN, Li et al., 2016): no weight
    changes.

    Args:
        network: normalized images → heatmaps; not modified.
        batches: batches of images, a few hundred images in total.

    Raises:
        UserError: there is no batch.
    """
    copied = copy.deepcopy(network).eval()
    layers = batchnorm_layers(copied)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    count = 0
    for images in batches:
        if count and len(images) == 1:  # a layer with one cell has no variance
            continue
        count += len(images)
        for layer in layers:
            layer.momentum = len(images) / count  # makes the running statistics the mean over all images
        copied(normalize(images))
    if not count:
        raise UserError(
            "BatchNorm statistics: no image could be read; expected at least one readable target image, or "
            "model.init_args.target_images 0"
        )
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return copied

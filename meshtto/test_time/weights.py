"""Interface of the classes that hold the weights of many images."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["Weights", "running_statistics"]


class Weights(ABC):
    """The weights of a network during adaptation. The network's own parameters are read, never written."""

    @abstractmethod
    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        """Run the network, each image with its own weights, and record what :meth:`step` needs."""

    @abstractmethod
    def step(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """Take one step on the losses of the last output; images that are not active keep their weights."""

    @abstractmethod
    def restore(self, images: Bool[Tensor, " batch"]) -> None:
        """Reset these images to their initial weights."""

    def convergence_loss(
        self, losses: Float[Tensor, " batch"], finite: Bool[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the losses that decide whether an image diverged or converged; here each image's own.

        Args:
            losses: current losses.
            finite: images whose initial loss was finite.
        """
        return losses

    def stop_mask(self, ready: Bool[Tensor, " batch"], finite: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Return the images that stop, given those that are ready to; `finite` as in :meth:`convergence_loss`."""
        return ready

    @abstractmethod
    def per_image_parameters(self) -> dict[str, Float[Tensor, "batch ..."]]:
        """Return the adapted parameters by name, one copy per image; large, for inspection and for later phases."""


@contextmanager
def running_statistics(network: nn.Module) -> Iterator[None]:
    """Make BatchNorm layers in training mode use their running statistics, unchanged, until the block ends."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True

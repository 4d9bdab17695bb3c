"""What all ways of holding the weights of many images promise."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["Weights", "running_statistics"]


class Weights(ABC):
    """The weights of a network while they are adapted. The network's own parameters are read and never written."""

    @abstractmethod
    def __call__(self, *inputs: Float[Tensor, "batch ..."]) -> Any:
        """The network's output, each image under its own weights. Remembers what :meth:`descend` needs."""

    @abstractmethod
    def descend(self, losses: Float[Tensor, " batch"], active: Bool[Tensor, " batch"]) -> None:
        """One step down the losses of the last output; images that are not active keep their weights."""

    @abstractmethod
    def give_up(self, images: Bool[Tensor, " batch"]) -> None:
        """Take these images' weights back to where they began."""

    def judged(self, losses: Float[Tensor, " batch"], sound: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """What tells whether an image's weights went astray or came to rest: its own loss.

        Args:
            losses: now.
            sound: whose loss was a number at first.
        """
        return losses

    def stopping(self, ready: Bool[Tensor, " batch"], sound: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Which images stop when these are ready to: they do. (`sound`: as in :meth:`judged`.)"""
        return ready

    @abstractmethod
    def of_each_image(self) -> dict[str, Float[Tensor, "batch ..."]]:
        """The adapted parameters by their names, a copy for each image. (Large; for looking and for going on.)"""


@contextmanager
def running_statistics(network: nn.Module) -> Iterator[None]:
    """BatchNorm of a network in training uses its running statistics, and keeps them, until the block ends."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True

"""What a run is refused for before it starts, in one line."""

from typing import Any

from hamipose.errors import InputError
from hamipose.skeletons import Skeleton

__all__ = ["check_precision", "check_skeletons", "check_target"]


def check_precision(precision: str) -> None:
    """Losses must reach the gate as they are.

    Raises:
        InputError: they would be scaled.
    """
    if precision == "16-mixed":
        raise InputError(
            "trainer.precision is 16-mixed, whose loss scaling hides gradients from the gate; "
            "expected bf16-mixed or 32-true"
        )


def check_skeletons(data: Skeleton, network: Skeleton) -> None:
    """Data and network speak of the same keypoints.

    Raises:
        InputError: they do not.
    """
    if data != network:
        raise InputError(
            f"the data have the keypoints of {data.name}, the network those of {network.name}; "
            "set model.init_args.network.skeleton or the data sets' skeleton"
        )


def check_target(method: str, data: Any, adapts: bool) -> None:
    """A method that adapts has something to adapt to.

    Args:
        method: its name.
        data: the data module, or None.
        adapts: whether it will want target images, sooner or later.

    Raises:
        InputError: there is no target.
    """
    if adapts and data is not None and not data.target:
        raise InputError(f"{method} adapts to a target, and data.target is not given")

"""A trained method and how it is to adapt, as a user asks for them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hamipose.errors import InputError
from meshtto.adaptation import Phase
from meshtto.methods.base import MeshMethod
from meshtto.methods.checkpoint import load

__all__ = ["open_method", "phases_of"]


def open_method(checkpoint: str, body: str | None = None, device: str | None = None) -> MeshMethod:
    """The method of a checkpoint, in eval mode, on its device.

    Args:
        checkpoint: what `fit` saved.
        body: file of the body model, where it is elsewhere than it was in training.
        device: torch's name of a device; the first GPU if there is one where not given.

    Raises:
        InputError: the checkpoint cannot be read, or there is no such device.
    """
    method: MeshMethod = load(checkpoint, body)
    try:
        return method.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device is {device!r}, which cannot be used here ({str(error).splitlines()[0]})") from None


def phases_of(method: MeshMethod, steps: int | None = None) -> Sequence[Phase]:
    """Phases of adaptation: those of training, or the first of them with another number of steps.

    Args:
        method: of a checkpoint.
        steps: how many there are to be; those of training where not given.

    Raises:
        InputError: there is none whose steps could be changed.
    """
    phases = method.test_time.phases
    if steps is None:
        return phases
    if steps == 0:
        return []
    if not phases:
        raise InputError(
            f"the checkpoint ({type(method).__name__}) does not say how to adapt, its test_time.phases being empty; "
            "leave --steps out, or train with test_time.phases"
        )
    return [replace(phases[0], steps=steps)]

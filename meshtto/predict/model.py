"""A trained method and how it is to adapt, as a user asks for them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hamipose.errors import InputError
from meshtto.methods.base import MeshMethod
from meshtto.methods.checkpoint import load
from meshtto.test_time import Phase

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
    """Return the phases of adaptation: those of training, or as many of their steps as asked for.

    The phases keep their order: fewer steps leave out the last ones, more are added to the last phase.

    Args:
        method: of a checkpoint.
        steps: how many there are to be in all phases together; those of training where not given.

    Raises:
        InputError: there is no phase whose steps could be changed.
    """
    phases = [phase for phase in method.test_time.phases if phase.steps]
    if steps is None:
        return phases
    if steps == 0:
        return []
    if not phases:
        raise InputError(
            f"the checkpoint ({type(method).__name__}) does not say how to adapt, its test_time.phases being empty; "
            "leave --steps out, or train with test_time.phases"
        )
    wanted: list[Phase] = []
    for phase in phases[:-1]:
        wanted.append(replace(phase, steps=min(phase.steps, steps - sum(p.steps for p in wanted))))
    wanted.append(replace(phases[-1], steps=steps - sum(p.steps for p in wanted)))
    return [phase for phase in wanted if phase.steps]

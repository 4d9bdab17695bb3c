"""Load a method for prediction and choose its adaptation phases."""

from collections.abc import Sequence
from dataclasses import replace

from hamipose.errors import UserError
from hamipose.models.device import move_to_device
from meshtto.methods.base import MeshMethod
from meshtto.methods.checkpoint import load
from meshtto.methods.model_folder import SHIPPED
from meshtto.test_time import Phase

__all__ = ["adaptation_phases", "describe_shipped", "open_method"]


def open_method(checkpoint: str | None = None, body: str | None = None, device: str | None = None) -> MeshMethod:
    """Load the method of a checkpoint in eval mode on a device.

    Args:
        checkpoint: checkpoint saved by `fit`, or a model folder; default: the model that ships.
        body: file of the body model, if it has moved since training.
        device: torch device name; default: the first GPU, if any.

    Raises:
        UserError: the checkpoint cannot be read, or there is no such device.
    """
    method: MeshMethod = load(SHIPPED if checkpoint is None else checkpoint, body)
    move_to_device(method, device)
    return method


def describe_shipped(option: str) -> str:
    """Return a message that names the model that ships.

    Args:
        option: command-line option that selects another model.
    """
    return f"mesh model: {SHIPPED.name} (Apache-2.0), the one that ships; {option} selects another"


def adaptation_phases(method: MeshMethod, steps: int | None = None) -> Sequence[Phase]:
    """Return the phases of adaptation: those of training, or with another total number of steps.

    The phases keep their order: fewer steps shorten the last phases, additional steps extend the last phase.

    Args:
        method: method of a checkpoint.
        steps: total number of steps in all phases; default: as in training.

    Raises:
        UserError: there is no phase whose steps could be changed.
    """
    phases = [phase for phase in method.test_time.phases if phase.steps]
    if steps is None:
        return phases
    if steps == 0:
        return []
    if not phases:
        raise UserError(
            f"the checkpoint ({type(method).__name__}) has no adaptation phases (test_time.phases is empty); leave "
            "--steps out, or train with test_time.phases"
        )
    result: list[Phase] = []
    for phase in phases[:-1]:
        result.append(replace(phase, steps=min(phase.steps, steps - sum(p.steps for p in result))))
    result.append(replace(phases[-1], steps=steps - sum(p.steps for p in result)))
    return [phase for phase in result if phase.steps]

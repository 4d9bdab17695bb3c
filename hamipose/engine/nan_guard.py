"""Stops a run whose numbers are no longer numbers, before it can spoil a checkpoint."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hamipose.errors import UserError

__all__ = ["FiniteGuard", "check_weights"]


def check_weights(network: nn.Module, step: int) -> None:
    """Refuse to save weights that a gradient without a number has spoilt, though the loss was still one.

    Raises:
        UserError: a parameter is NaN or infinite.
    """
    norms = torch._foreach_norm([p.detach() for p in network.parameters()])
    if not bool(torch.stack(norms).isfinite().all()):
        names = [name for name, parameter in network.named_parameters() if not bool(parameter.isfinite().all())]
        raise UserError(
            f"training stopped at step {step}: {names[0]} and {len(names) - 1} other parameters are no finite numbers; "
            "checkpoints saved so far are sound: go on from the last one with a lower learning rate or with "
            "training.clip_norm"
        )


class _Watched(NamedTuple):
    step: int
    values: dict[str, Tensor]
    names: list[str]


class FiniteGuard:
    """Looks at each step's losses.

    Reading a number from a GPU waits for it. There each step's numbers are read one step later, when they have long
    been computed; on a CPU at once, before the step is taken.
    """

    def __init__(self) -> None:
        self._pending: list[_Watched] = []

    def watch(self, step: int, values: dict[str, Tensor], names: list[str]) -> None:
        """Take note of a step's scalars and of the samples they came from.

        Raises:
            UserError: one of this step's (CPU) or of the last step's (GPU) is NaN or infinite.
        """
        late = any(value.is_cuda for value in values.values())
        if late:
            self.check()
        self._pending.append(_Watched(step, {k: v.detach() for k, v in values.items()}, names))
        if not late:
            self.check()

    def check(self) -> None:
        """Look at all that was noted: before weights are saved or evaluated.

        Raises:
            UserError: something is NaN or infinite.
        """
        while self._pending:
            step, values, names = self._pending.pop(0)
            found = {name: float(value) for name, value in values.items()}
            if not all(math.isfinite(value) for value in found.values()):
                numbers = ", ".join(f"{name} = {value:g}" for name, value in found.items())
                some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
                raise UserError(
                    f"training stopped at step {step}: {numbers}, expected finite numbers; samples of this step: "
                    f"{some}; checkpoints saved so far are sound: go on from the last one with a lower learning rate "
                    "or with training.clip_norm"
                )

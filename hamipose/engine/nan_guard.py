"""Stop a run whose losses or weights became NaN or Inf before it overwrites a good checkpoint."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hamipose.errors import UserError

__all__ = ["NanGuard", "check_weights"]


def check_weights(network: nn.Module, step: int) -> None:
    """Check that weights are finite before they are saved; a gradient can be NaN although the loss is finite.

    Raises:
        UserError: a parameter is NaN or Inf.
    """
    norms = torch._foreach_norm([p.detach() for p in network.parameters()])
    if not bool(torch.stack(norms).isfinite().all()):
        names = [name for name, parameter in network.named_parameters() if not bool(parameter.isfinite().all())]
        raise UserError(
            f"training stopped at step {step}: {names[0]} and {len(names) - 1} other parameters became NaN or Inf; "
            "earlier checkpoints are valid: resume from the last one with a lower learning rate or with "
            "training.clip_norm"
        )


class _Losses(NamedTuple):
    step: int
    values: dict[str, Tensor]
    names: list[str]


class NanGuard:
    """Checks the losses of each step.

    Reading a value from a GPU waits for its computation. There the losses of a step are read one step later, when they
    have been computed; on a CPU they are read at once, before the optimizer's step.
    """

    def __init__(self) -> None:
        self._pending: list[_Losses] = []

    def watch(self, step: int, values: dict[str, Tensor], names: list[str]) -> None:
        """Register the losses of a step.

        Args:
            step: number of the step.
            values: losses, by name.
            names: names of the samples of the step.

        Raises:
            UserError: a loss of this step (CPU) or of the last step (GPU) is NaN or Inf.
        """
        late = any(value.is_cuda for value in values.values())
        if late:
            self.check()
        self._pending.append(_Losses(step, {k: v.detach() for k, v in values.items()}, names))
        if not late:
            self.check()

    def check(self) -> None:
        """Check all registered losses; called before weights are saved or evaluated.

        Raises:
            UserError: a loss is NaN or Inf.
        """
        while self._pending:
            step, values, names = self._pending.pop(0)
            found = {name: float(value) for name, value in values.items()}
            if not all(math.isfinite(value) for value in found.values()):
                numbers = ", ".join(f"{name} = {value:g}" for name, value in found.items())
                some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
                raise UserError(
                    f"training stopped at step {step}: {numbers}, expected finite numbers; samples of this step: "
                    f"{some}; earlier checkpoints are valid: resume from the last one with a lower learning rate "
                    "or with training.clip_norm"
                )

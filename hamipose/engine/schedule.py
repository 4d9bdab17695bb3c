"""The learning rate over a run, and weights of losses over its epochs."""

import math
from collections.abc import Sequence

__all__ = ["inverse_decay", "polynomial", "ramp_down", "ramp_up", "step_decay", "warmup_cosine"]


def warmup_cosine(step: int, warmup: int, total: float | int, final: float | int = 0.0) -> float:
    """Factor of the learning rate: linear from 1/warmup to 1 over the warm-up, then half a cosine down to `final`.

    Args:
        step: steps taken so far.
        warmup: length of the warm-up in steps.
        total: length of the run in steps; infinite for a run without an end, which stays at 1.
        final: factor at the end.

    >>> [round(warmup_cosine(s, 2, 6), 3) for s in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    if math.isinf(total):
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def inverse_decay(step: int, rate: float = 1e-4, power: float = 0.75) -> float:
    r""":math:`(1 + r i)^{-p}` (Ganin & Lempitsky, ICML 2015; RegDA).

    >>> [round(inverse_decay(i), 4) for i in (0, 10000)]
    [1.0, 0.5946]
    """
    return (1 + rate * step) ** -power


def polynomial(step: int, total: float | int, power: float = 0.9) -> float:
    r""":math:`(1 - i/N)^p`, which ends at 0; 1 throughout for a run without an end.

    >>> [round(polynomial(i, 10), 4) for i in (0, 5, 10)]
    [1.0, 0.5359, 0.0]
    """
    return max(0.0, 1 - step / total) ** power


def step_decay(step: int, total: float | int, milestones: Sequence[float], factor: float = 0.1) -> float:
    """Multiplied by `factor` at each milestone, a share of the run.

    >>> [round(step_decay(i, 70, (45 / 70, 60 / 70)), 4) for i in (0, 44, 45, 60)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return factor ** sum(step >= round(milestone * total) for milestone in milestones if not math.isinf(total))


def ramp_up(epoch: float | int, length: float | int) -> float:
    r""":math:`\exp(-5 (1 - e/T)^2)`, 1 from T on: a weight that grows (Laine & Aila, ICLR 2017).

    >>> [round(ramp_up(e, 10), 4) for e in (0, 5, 10, 20)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    return math.exp(-5 * (1 - min(epoch, length) / length) ** 2) if length > 0 else 1.0


def ramp_down(epoch: float | int, length: float | int) -> float:
    r""":math:`\tfrac12 (\cos(\pi e/T) + 1)`, 0 from T on: a weight that falls.

    >>> [round(ramp_down(e, 10), 4) for e in (0, 5, 10, 20)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return 0.5 * (math.cos(math.pi * min(epoch, length) / length) + 1) if length > 0 else 0.0

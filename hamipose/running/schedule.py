"""The learning rate over a run."""

import math
from collections.abc import Sequence

__all__ = ["inverse_decay", "polynomial", "step_decay", "warmup_cosine"]


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

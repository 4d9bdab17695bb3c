"""The learning rate over a run."""

import math

__all__ = ["warmup_cosine"]


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

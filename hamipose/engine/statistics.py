"""Figures of several runs as tables show them."""

import math
import statistics
from collections.abc import Sequence

__all__ = ["mean_and_spread"]


def mean_and_spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, as far as there are any.

    >>> mean_and_spread([1.0, 2.0]), mean_and_spread([3.0]), mean_and_spread([]), mean_and_spread([1.0, math.nan])
    ('1.5 ± 0.7', '3.0', '', 'diverged')
    """
    if not values:
        return ""
    if not all(map(math.isfinite, values)):
        return "diverged"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"

"""Precision of computations: at least single; double if the input is double."""

import torch
from torch import Tensor

__all__ = ["at_least_single"]


def at_least_single(values: Tensor) -> Tensor:
    """Return `values` in single precision; values in double precision stay as they are.

    >>> [at_least_single(torch.ones(1, dtype=d)).dtype for d in (torch.bfloat16, torch.float32, torch.float64)]
    [torch.float32, torch.float32, torch.float64]
    """
    return values if values.dtype == torch.float64 else values.float()

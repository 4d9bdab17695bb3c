"""Names of protocols and splits, and the published random splits.

RegDA and UniFrame shuffle or sample with Python's generator and seed 42; the same calls select the same people.
"""

import random
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from hamipose.errors import UserError

__all__ = ["PROTOCOLS", "check_protocol", "check_split", "held_out_count", "sample_with_replacement", "shuffled"]

#: "strict": training and test share no image or duplicate, and crops use only information that a user has. "paper": the
#: procedure of RegDA and UniFrame, for comparison with published scores. docs/protocols.md compares the two.
PROTOCOLS = ("strict", "paper")

_SEED = 42


def check_protocol(protocol: str) -> str:
    """Return the protocol if it exists.

    Raises:
        UserError: unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    return protocol


def check_split(split: str, splits: Iterable[str], dataset: str) -> None:
    """Check that a data set has a split.

    Raises:
        UserError: it does not.
    """
    splits = tuple(splits)
    if split not in splits:
        raise UserError(f"split of {dataset} is {split!r}, expected one of {', '.join(splits)}")


def shuffled(count: int) -> Int[np.ndarray, " count"]:
    """Return the numbers below `count` in the order of ``random.seed(42); random.shuffle(list(range(count)))``."""
    order = list(range(count))
    random.Random(_SEED).shuffle(order)
    return np.array(order, np.int64)


def held_out_count(count: int) -> int:
    """Return how many of the shuffled samples are held out for testing: a fifth, at most 3200.

    >>> held_out_count(100), held_out_count(130240)
    (20, 3200)
    """
    return min(int(count * 0.2), 3200)


def sample_with_replacement(count: int, draws: int = 3200) -> Int[np.ndarray, " draws"]:
    """Return the indices of ``random.seed(42); random.choices(…, k=draws)``; with replacement, so some occur twice."""
    return np.array(random.Random(_SEED).choices(range(count), k=draws), np.int64)

"""The published splits, and the two protocols that a data set can be read under.

RegDA and UniFrame shuffle or draw with Python's generator and the seed 42; the same calls give the same people.
"""

import random

import numpy as np
from jaxtyping import Int

from hamipose.errors import UserError

__all__ = ["PROTOCOLS", "check_protocol", "held_out_count", "sample_with_replacement", "shuffled"]

#: "strict" is sound: no picture or its twin on both sides, and a crop that a user could make. "paper" is what RegDA and
#: UniFrame do, and what the published figures stand for. docs/protocols.md sets them side by side.
PROTOCOLS = ("strict", "paper")

_SEED = 42


def check_protocol(protocol: str) -> str:
    """The protocol itself.

    Raises:
        UserError: there is none of that name.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    return protocol


def shuffled(count: int) -> Int[np.ndarray, " count"]:
    """Numbers below `count` in the order that ``random.seed(42); random.shuffle(list)`` gives a list of that length."""
    order = list(range(count))
    random.Random(_SEED).shuffle(order)
    return np.array(order, np.int64)


def held_out_count(count: int) -> int:
    """How many of the shuffled samples are set aside for testing: a fifth, 3200 at most.

    >>> held_out_count(100), held_out_count(130240)
    (20, 3200)
    """
    return min(int(count * 0.2), 3200)


def sample_with_replacement(count: int, draws: int = 3200) -> Int[np.ndarray, " draws"]:
    """Numbers that ``random.seed(42); random.choices(…, k=draws)`` picks: with replacement, so some come twice."""
    return np.array(random.Random(_SEED).choices(range(count), k=draws), np.int64)

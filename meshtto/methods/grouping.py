"""How many people are adapted at once, by the memory that one person needs; what the groups give put together."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from meshtto.regressors import Regressor
from meshtto.test_time import Adam, Phase
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["bytes_of_a_person", "groups", "in_groups", "recorded_bytes"]


def recorded_bytes(run: Callable[[], Any], besides: Sequence[Tensor] = ()) -> int:
    """Return the bytes that autograd keeps for a backward pass through what a function computes.

    Args:
        run: computes something.
        besides: tensors that are there anyway, such as parameters.
    """
    sizes: dict[int, int] = {}
    known = {tensor.untyped_storage().data_ptr() for tensor in besides}
    kept: list[Any] = []  # or another tensor might come to lie at the same address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(sizes.values())


def bytes_of_a_person(regressor: Regressor, phases: Sequence[Phase], passes: Callable[[Phase], int]) -> int:
    """Return the bytes that adapting one person takes beside the network, in the phase that needs most.

    That is what a pass keeps for its gradient, and where the person has weights of their own three copies of them at
    the peak (weights, gradients, and what is made of them), with Adam six. Measured in
    ``benchmarks/results/meshtto_memory.md``.

    Args:
        regressor: the network.
        phases: of adaptation.
        passes: bytes that one pass of a phase keeps for one person.
    """
    most, copied = 0, False
    for phase in phases:
        if not phase.steps:
            continue
        adam = isinstance(phase.rule, Adam)
        copied = copied or adam or phase.scope == "all"
        moved = regressor if phase.scope == "all" else regressor.head
        weights = sum(p.numel() * p.element_size() for p in moved.parameters())
        most = max(most, passes(phase) + (weights * (6 if adam else 3) if copied else 0))
    return most


def groups(people: int, each: int, limit: float | None) -> Iterator[slice]:
    """Cut a batch into groups of as many people as the memory is enough for, one at least.

    Args:
        people: of the batch.
        each: bytes.
        limit: bytes; None: all at once.

    >>> [(g.start, g.stop) for g in groups(5, 10, 25)]
    [(0, 2), (2, 4), (4, 5)]
    """
    size = max(people, 1) if limit is None or each == 0 else max(1, int(limit // each))
    return (slice(start, min(start + size, people)) for start in range(0, max(people, 1), size))


def in_groups(
    batch: MeshBatch,
    rows: Sequence[slice],
    recover: Callable[[MeshBatch, Any], Recovery],
    watch: Callable[[int, BodyPrediction], None] | None,
) -> Recovery:
    """Recover the people of a batch group by group; the watcher sees the steps of all of them together, afterwards.

    Args:
        batch: all.
        rows: the groups, in order.
        recover: of a group, with a watcher.
        watch: shown each step's number and the prediction.
    """
    if len(rows) == 1:
        return recover(batch, watch)
    found: list[Recovery] = []
    seen: list[list[BodyPrediction]] = []
    for group in rows:
        steps: list[BodyPrediction] = []
        part = MeshBatch(**{name: value[group] for name, value in vars(batch).items()})
        found.append(recover(part, None if watch is None else partial(_keep, steps)))
        seen.append(steps)
    if watch is not None:
        for step, parts in enumerate(zip(*seen, strict=True)):
            watch(step, _together(parts))
    return Recovery(
        _together([part.prediction for part in found]),
        torch.cat([part.losses for part in found], 1),
        torch.cat([part.steps for part in found]),
        torch.cat([part.diverged for part in found]),
    )


def _keep(steps: list[BodyPrediction], step: int, prediction: BodyPrediction) -> None:
    steps.append(prediction)


def _together(parts: Sequence[BodyPrediction]) -> BodyPrediction:
    return BodyPrediction(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

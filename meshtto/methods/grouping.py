"""Split people into groups that fit into memory when adapted together, and concatenate the groups' results."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from meshtto.regressors import Regressor
from meshtto.test_time import Adam, Phase
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["autograd_bytes", "person_bytes", "recover_in_groups", "split_groups"]


def autograd_bytes(run: Callable[[], Any], besides: Sequence[Tensor] = ()) -> int:
    """Return the bytes that autograd keeps for a backward pass through what a function computes.

    Args:
        run: the computation.
        besides: tensors that exist anyway, such as parameters.
    """
    sizes: dict[int, int] = {}
    known = {tensor.untyped_storage().data_ptr() for tensor in besides}
    kept: list[Any] = []  # keeps the storages alive, so that no other tensor gets the same address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(sizes.values())


def person_bytes(regressor: Regressor, phases: Sequence[Phase], passes: Callable[[Phase], int]) -> int:
    """Return the bytes that adapting one person takes in addition to the network, in the most demanding phase.

    These are the tensors a pass saves for its gradient and, if the person has their own weights, three copies of these
    at the peak (weights, gradients, and intermediate results), with Adam six. Measured in
    ``benchmarks/results/meshtto_memory.md``.

    Args:
        regressor: the network.
        phases: the phases of adaptation.
        passes: returns the bytes that one pass of a phase saves for one person.
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


def split_groups(people: int, each: int, limit: float | None) -> Iterator[slice]:
    """Split a batch into groups of as many people as fit into memory, at least one.

    Args:
        people: number of people in the batch.
        each: bytes per person.
        limit: bytes available; None means a single group.

    >>> [(g.start, g.stop) for g in split_groups(5, 10, 25.0)]
    [(0, 2), (2, 4), (4, 5)]
    """
    size = max(people, 1) if limit is None or each == 0 else max(1, int(limit // each))
    return (slice(start, min(start + size, people)) for start in range(0, max(people, 1), size))


def recover_in_groups(
    batch: MeshBatch,
    rows: Sequence[slice],
    recover: Callable[[MeshBatch, Any], Recovery],
    watch: Callable[[int, BodyPrediction], None] | None,
) -> Recovery:
    """Recover a batch group by group; `watch` is called afterwards, with the concatenated steps of all groups.

    Args:
        batch: the whole batch.
        rows: the groups, in order.
        recover: recovers a group, with a `watch` of its own.
        watch: called with each step number and prediction.
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
            watch(step, _concatenated(parts))
    return Recovery(
        _concatenated([part.prediction for part in found]),
        torch.cat([part.losses for part in found], 1),
        torch.cat([part.steps for part in found]),
        torch.cat([part.diverged for part in found]),
    )


def _keep(steps: list[BodyPrediction], step: int, prediction: BodyPrediction) -> None:
    steps.append(prediction)


def _concatenated(parts: Sequence[BodyPrediction]) -> BodyPrediction:
    return BodyPrediction(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

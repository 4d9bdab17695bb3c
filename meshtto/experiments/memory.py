"""Compute the memory that a row of the table needs, from bytes measured for a few people on the CPU."""

import inspect
import warnings
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from hamipose.config.config_file import import_class, instantiate, load_config
from hamipose.config.environment import configs_folder
from hamipose.engine.experiments import Recipe
from hamipose.viz.tables import Table
from meshtto.experiments.rows import Row
from meshtto.joints import JOINTS49
from meshtto.methods.base import MeshMethod
from meshtto.methods.grouping import autograd_bytes, person_bytes
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, TestTimeOptions
from meshtto.methods.recover import pass_bytes
from meshtto.test_time import Phase
from meshtto.types import MeshBatch

__all__ = ["Memory", "memory_table", "random_people", "row_memory"]

_INITIALIZATIONS = ("weights", "published", "init_from")
#: Tensors of each trained parameter: the weight, its gradient, and Adam's two moments.
_TRAINED = 4
#: People whose training step is measured. For fewer, torch chooses other kernels, which keep up to twice as much.
_MEASURED = 8


@dataclass(frozen=True)
class Memory:
    """Memory of a row in bytes, without temporary buffers of single layers.

    Attributes:
        training: networks, gradients, Adam's state, and what autograd keeps for a batch.
        test: networks, and what the people who are adapted together need.
        batch: people per training step.
        together: people who are adapted together at test time.
    """

    training: int
    test: int
    batch: int
    together: int


def memory_table(rows: tuple[Row, ...]) -> Table:
    """Return a table with the memory of every row in GiB."""
    table = Table(["row", "training: people", "GiB", "test: people at a time", "GiB"])
    for row in rows:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # torch, of one operation of 0.1 s
            memory = row_memory(row)
        sizes = f"{memory.training / 2**30:.1f}", f"{memory.test / 2**30:.1f}"
        table.rows.append([row.label, str(memory.batch), sizes[0], str(memory.together), sizes[1]])
    return table


def row_memory(row: Row) -> Memory:
    """Compute the memory of a row in single precision.

    What autograd keeps for a training step is measured for a few people with random images and weights and the
    built-in body, and is proportional to their number. The body of the config has more vertices, which adds little.
    """
    method, data = _method(row.training)
    size = data["height"], data["width"]
    networks, trained = _size(method), _size(method, trained=True)
    training = networks + (_TRAINED - 1) * trained + data["batch_size"] * _training_bytes(row.training)
    test_time = TestTimeOptions(phases=[Phase(**instantiate(phase)) for phase in row.phases], **row.other_options)
    phases = [phase for phase in test_time.phases if phase.steps]
    people = row.batch_size or data.get("evaluation_batch_size", 32)
    if not phases:
        return Memory(training, networks, data["batch_size"], people)
    with torch.no_grad():
        method.test_time, batch = test_time, random_people(1, size)
        passes = partial(pass_bytes, method.eval(), batch)
        if any(phase.inner == "shared" for phase in phases):  # one copy of the weights, with Adam's state
            own = (_TRAINED - 1) * _size(method.regressor) + people * max(map(passes, phases))
            return Memory(training, networks + own, data["batch_size"], people)
        one = person_bytes(method.regressor, phases, passes)
    limit = (test_time.memory_gib or 0.0) * 2**30
    together = max(1, min(people, int(limit // one))) if limit else people
    return Memory(training, networks + one * together, data["batch_size"], together)


def _size(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad or not trained)


@cache
def _training_bytes(recipe: Recipe) -> int:
    """Return what autograd keeps for one person of a training step."""
    method, data = _method(recipe)
    batch = random_people(_MEASURED, (data["height"], data["width"]))
    return autograd_bytes(partial(method.train().objective, batch), list(method.parameters())) // _MEASURED


@cache
def _method(recipe: Recipe) -> tuple[MeshMethod, dict[str, Any]]:
    """Return the method of a training with random weights and the built-in body, and the section ``data``."""
    content = load_config(configs_folder("meshtto") / recipe.config)
    options = content["model"]["init_args"]
    method = import_class(content["model"]["class_path"])
    accepted = inspect.signature(method).parameters
    arguments: dict[str, Any] = {"regressor": RegressorOptions(**_without_start(options.get("regressor")))}
    if "auxiliary" in accepted:
        arguments["auxiliary"] = AuxiliaryOptions(**_without_start(options.get("auxiliary")))
    if "inner" in accepted and "inner" in options:
        arguments["inner"] = Phase(**instantiate(options["inner"]))
    arguments |= {name: options[name] for name in ("second_order", "auxiliary_loss") if name in options}
    return method(torch.optim.Adam, **arguments), content["data"]


def _without_start(options: dict[str, Any] | None) -> dict[str, Any]:
    own = {name: value for name, value in (options or {}).items() if name not in _INITIALIZATIONS}
    return {**own, "body": "builtin"}


def random_people(count: int, size: tuple[int, int]) -> MeshBatch:
    """Return random images of people with labels that a loss accepts."""
    ones = torch.ones(count, len(JOINTS49))
    keypoints = torch.rand(count, len(JOINTS49), 2) * torch.tensor([size[1], size[0]])
    return MeshBatch(
        image=torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8),
        keypoints_px=keypoints,
        keypoints_confidence=ones,
        evidence_px=keypoints,
        evidence_confidence=ones,
        joints_m=torch.randn(count, len(JOINTS49), 3) * 0.3,
        joints_confidence=ones,
        rotations=torch.eye(3).expand(count, 24, 3, 3).contiguous(),
        shape=torch.zeros(count, 10),
        has_mesh=torch.ones(count, dtype=torch.bool),
        center_px=torch.full((count, 2), 320.0),
        side_px=torch.full((count,), 300.0),
        image_size=torch.full((count, 2), 640.0),
        focal_px=torch.full((count,), 900.0),
        matrix=torch.eye(3)[:2].expand(count, 2, 3),
        mirrored=torch.zeros(count, dtype=torch.bool),
        gender=torch.zeros(count, dtype=torch.long),
        name=[str(i) for i in range(count)],
        index=torch.arange(count),
    )

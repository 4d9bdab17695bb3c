"""Memory of test-time optimization: only required graphs, and groups of people that fit the limit."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods.grouping import autograd_bytes, person_bytes, split_groups
from meshtto.methods.recover import pass_bytes
from meshtto.test_time import SGD, Adam, Phase
from meshtto.types import BodyPrediction, MeshBatch

HEAD = Phase(2, SGD(1e-3))
HEAD_ADAM = Phase(2, Adam(1e-4), pseudo_mesh=False)
ALL = Phase(2, Adam(1e-4), scope="all", pseudo_mesh=False)


@pytest.fixture
def method(tiny: Any) -> Any:
    torch.manual_seed(0)
    return tiny.model({"method": "Dual"}).eval()


@pytest.fixture(scope="module")
def batch(tiny: Any) -> MeshBatch:
    crops = MeshCrops(tiny.DotMeshes(5, 5), (32, 32))
    return collate([crops[i] for i in range(5)])


def recorded(run: Callable[[], Any]) -> list[torch.Size]:
    """Record the shapes of all tensors that autograd saves during a block."""
    shapes: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        shapes.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return shapes


@pytest.fixture
def of_backbone(method: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Size]]:
    """Record the tensors that autograd saves inside the backbone, for each pass."""
    passes: list[list[torch.Size]] = []
    own = method.regressor.features

    def features(images: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        passes.append(recorded(lambda: outputs.append(own(images))))
        return outputs[0]

    monkeypatch.setattr(method.regressor, "features", features)
    return passes


@pytest.mark.parametrize(
    "phases", [[HEAD], [HEAD_ADAM], [replace(HEAD, inner="shared")]], ids=["SGD", "Adam", "shared"]
)
def test_recover_keeps_no_backbone_graph_for_head_phases(
    method: Any, batch: MeshBatch, phases: list[Phase], of_backbone: list[list[torch.Size]]
):
    method.test_time = replace(method.test_time, memory_gib=None)
    method.recover(batch, phases)
    assert of_backbone == [[]]  # one pass without saved tensors
    method.regressor.features(torch.zeros(1, 3, 32, 32))
    assert len(of_backbone[1]) > 5  # with a graph


@pytest.mark.parametrize(
    "phases", [[], [Phase(0)], [replace(ALL, steps=0)]], ids=["none", "no steps", "no steps of all"]
)
def test_recover_without_phases_keeps_no_graph(method: Any, batch: MeshBatch, phases: list[Phase]):
    assert recorded(lambda: method.recover(batch, phases)) == []


def test_recover_last_pass_keeps_no_graph(method: Any, batch: MeshBatch, of_backbone: list[list[torch.Size]]):
    """Check the last pass, after which there is no step."""
    method.test_time = replace(method.test_time, memory_gib=None)
    method.recover(batch, [ALL], tolerance=None)
    assert [bool(kept) for kept in of_backbone] == [True, True, False]


def test_training_keeps_the_graph(method: Any, batch: MeshBatch):
    method.train()
    sum(method.objective(batch).values()).backward()
    assert method.regressor.backbone.get_submodule("conv1")[0].weight.grad.any()


@pytest.mark.parametrize("phases", [[ALL], [HEAD_ADAM], [HEAD, ALL]], ids=["all", "head", "both"])
def test_groups_do_not_change_results(
    method: Any, batch: MeshBatch, phases: list[Phase], monkeypatch: pytest.MonkeyPatch
):
    """Check sizes of groups, and that `watch` gets all people at each step."""
    from meshtto.methods import base

    sizes: list[int] = []
    own = base.recover
    monkeypatch.setattr(base, "recover", lambda m, part, *rest: sizes.append(len(part.index)) or own(m, part, *rest))
    found, seen = [], []
    method._groups(batch, phases)
    (each,) = method._person_bytes.values()
    for limit, expected in ((None, [5]), (2.5 * each / 2**30, [2, 2, 1]), (1e-9, [1] * 5)):
        sizes.clear()
        steps: list[tuple[int, BodyPrediction]] = []
        method.test_time = replace(method.test_time, memory_gib=limit)
        found.append(method.recover(batch, phases, lambda k, p, steps=steps: steps.append((k, p))))
        seen.append(steps)
        assert sizes == expected
    whole = found[0]
    for other in found[1:]:
        assert other.steps.tolist() == whole.steps.tolist()
        # Adam's first steps depend on signs, also of gradients that are only rounding errors.
        torch.testing.assert_close(other.losses, whole.losses, atol=1e-3, rtol=2e-3)
        torch.testing.assert_close(other.prediction.vertices_m, whole.prediction.vertices_m, atol=1e-3, rtol=2e-3)
    for steps in seen:
        assert [k for k, _ in steps] == list(range(1 + sum(phase.steps for phase in phases)))
        for (_, mine), (_, theirs) in zip(steps, seen[0], strict=True):
            torch.testing.assert_close(mine.keypoints_px, theirs.keypoints_px, atol=5e-2, rtol=2e-3)


def test_losses_do_not_depend_on_the_group(method: Any, batch: MeshBatch):
    """Check that all phases have a row per step, even if all images of a group stopped."""
    method.test_time = replace(method.test_time, memory_gib=1e-9)
    stopped = method.recover(batch, [replace(HEAD, steps=4), replace(ALL, steps=3)], tolerance=1e9)
    assert stopped.steps.tolist() == [2] * 5
    assert stopped.losses.shape == (7, 5)
    for first, rest in ((1, [2, 3]), (5, [6])):
        for row in rest:
            assert torch.equal(stopped.losses[row], stopped.losses[first])


def test_shared_weights_are_not_split_into_groups(method: Any, batch: MeshBatch):
    method.test_time = replace(method.test_time, memory_gib=1e-9)
    assert method._groups(batch, [replace(ALL, inner="shared")]) == [slice(0, 5)]
    assert method._groups(batch, []) == [slice(0, 5)]
    assert len(method._groups(batch, [ALL])) == 5


def test_autograd_bytes_counts_saved_tensors():
    weight, x = torch.randn(7, 5, requires_grad=True), torch.randn(3, 7)
    assert autograd_bytes(lambda: x @ weight, [weight]) == 4 * 3 * 7
    assert autograd_bytes(lambda: (x @ weight).exp(), [weight]) == 4 * (3 * 7 + 3 * 5)
    with torch.no_grad():
        assert autograd_bytes(lambda: x @ weight) == 0


def test_person_bytes_counts_weights_and_one_pass(method: Any, batch: MeshBatch):
    def size(module: torch.nn.Module) -> int:
        return 4 * sum(p.numel() for p in module.parameters())

    passes = partial(pass_bytes, method, batch)
    each = partial(person_bytes, method.regressor, passes=passes)
    assert each([ALL]) == passes(ALL) + 6 * size(method.regressor)
    assert each([replace(ALL, rule=SGD(1e-3))]) == passes(ALL) + 3 * size(method.regressor)
    assert each([HEAD_ADAM]) == passes(HEAD_ADAM) + 6 * size(method.regressor.head)
    assert each([HEAD]) == passes(HEAD)  # in low rank
    assert each([HEAD, ALL]) == each([ALL])
    assert passes(ALL) > passes(HEAD_ADAM) > 0
    # One person needs the same memory per pass alone and in a group.
    method.test_time = replace(method.test_time, memory_gib=None)
    one = MeshBatch(**{name: value[:1] for name, value in vars(batch).items()})
    bytes_ = [autograd_bytes(partial(method.recover, b, [replace(ALL, steps=1)], tolerance=None)) for b in (one, batch)]
    assert bytes_[1] == pytest.approx(5 * bytes_[0], rel=0.3)


def test_pass_bytes_has_no_side_effects(method: Any, batch: MeshBatch):
    state = copy.deepcopy(method.state_dict())
    pass_bytes(method, batch, ALL)
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())
    assert all(p.grad is None for p in method.parameters())


@pytest.mark.parametrize(("people", "sizes"), [(0, [0]), (1, [1]), (6, [3, 3]), (7, [3, 3, 1])])
def test_split_groups_fill_the_limit(people: int, sizes: list[int]):
    assert [g.stop - g.start for g in split_groups(people, 10, 39.0)] == sizes
    assert [g.stop - g.start for g in split_groups(people, 10, None)] == [people]
    assert [g.stop - g.start for g in split_groups(people, 10, 3.0)] == ([1] * people or [0])

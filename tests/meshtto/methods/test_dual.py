"""The auxiliary network: losses that use it, and its training."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from hamipose.errors import UserError
from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods import Dual
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions
from meshtto.test_time import SGD, Phase
from meshtto.types import MeshBatch, PairedBatch


def dual(**options: Any) -> Dual:
    torch.manual_seed(0)
    return Dual(
        torch.optim.Adam, RegressorOptions(backbone="test_resnet", width=16, iterations=2, dropout=0.0), **options
    )


@pytest.fixture
def batch(tiny: Any) -> Any:
    crops = MeshCrops(tiny.DotMeshes(3, 5), (32, 32))
    return collate([crops[i] for i in range(3)])


def test_dual_inner_step_without_pseudo_mesh_ignores_it(batch: Any):
    """Check that the auxiliary network only affects the regressor with the pseudo-mesh."""
    for pseudo_mesh in (True, False):
        losses = []
        for seed in (1, 2):
            method = dual(inner=Phase(1, SGD(1e-1), pseudo_mesh=pseudo_mesh)).eval()
            torch.manual_seed(seed)
            for parameter in method.auxiliary.head.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
            losses.append(float(method.objective(batch)["loss"].detach()))
        assert (losses[0] == losses[1]) == (not pseudo_mesh)


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        ({}, True),
        ({"auxiliary_loss": False}, False),
        ({"auxiliary_loss": False, "second_order": True}, True),
        ({"auxiliary_loss": False, "second_order": True, "inner": Phase(1, pseudo_mesh=False)}, False),
        ({"auxiliary_loss": False, "second_order": True, "inner": Phase(0)}, False),
    ],
)
def test_dual_untrained_auxiliary_requires_no_gradient(batch: Any, options: dict[str, Any], learns: bool):
    """Check `requires_grad`, because DDP waits for the gradient of every parameter that requires one."""
    method = dual(**options).train()
    sum(method.objective(batch).values()).backward()
    for parameter in method.trainable_parts().parameters():
        assert not parameter.requires_grad or parameter.grad is not None
    assert all(p.requires_grad == learns for p in method.auxiliary.parameters())
    assert all(p.requires_grad for p in method.regressor.parameters())


def test_dual_auxiliary_without_loss_only_updates_statistics(batch: Any):
    """Check the setting of the released code."""
    method = dual(auxiliary_loss=False).train()
    before = copy.deepcopy(method.auxiliary.state_dict())
    optimizer = torch.optim.Adam(method.trainable_parts().parameters(), lr=1e-2, weight_decay=0.1)
    sum(method.objective(batch).values()).backward()
    optimizer.step()
    moved = {name for name, value in method.auxiliary.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


def test_auxiliary_learns_from_its_own_batch_if_there_is_one(batch: Any, tiny: Any):
    """Check both terms: the regressor's is unchanged, and the auxiliary network's is that of its own batch."""
    method = dual(auxiliary=AuxiliaryOptions(own_batches=True)).eval()
    crops = MeshCrops(tiny.DotMeshes(3, 9), (32, 32))
    own = collate([crops[i] for i in range(3)])
    shared = {name: float(value.detach()) for name, value in method.objective(batch).items()}
    paired = {name: float(value.detach()) for name, value in method.objective(PairedBatch(batch, own)).items()}
    assert paired["loss"] == shared["loss"]
    assert paired["auxiliary"] == pytest.approx(float(method.supervised(method.pseudo(own), own).detach()))
    assert paired["auxiliary"] != shared["auxiliary"]
    with pytest.raises(UserError, match="own_batches is true and auxiliary_loss is false"):
        dual(auxiliary=AuxiliaryOptions(own_batches=True), auxiliary_loss=False)


def test_own_batches_contain_the_same_people_in_another_order(tiny: Any, tmp_path: Path):
    seen: list[PairedBatch] = []

    class Watched(Dual):
        def objective(self, batch: Any) -> dict[str, torch.Tensor]:
            seen.append(batch)
            return super().objective(batch)

    options = {"method": "Dual", "out": str(tmp_path), "epochs": 1, "steps": 5}
    method = Watched(
        torch.optim.Adam,
        RegressorOptions(backbone="test_resnet", width=16, iterations=2, dropout=0.0),
        AuxiliaryOptions(own_batches=True),
    )
    data = tiny.data(options)
    tiny.trainer(options).fit(method, data)
    people = sum(map(len, data.train))
    first, second = ([name for batch in seen for name in part(batch).name][:people] for part in (_main, _own))
    assert sorted(first) == sorted(second)
    assert first != second


def _main(batch: PairedBatch) -> MeshBatch:
    return batch.regressor


def _own(batch: PairedBatch) -> MeshBatch:
    return batch.auxiliary

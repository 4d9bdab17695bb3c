"""Checkpoints contain the options that rebuild each of their networks."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from hamipose.errors import UserError
from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods import Dual
from meshtto.methods.checkpoint import load
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions


def dual(iterations: int, auxiliary: AuxiliaryOptions = AuxiliaryOptions()) -> Dual:  # noqa: B008
    return Dual(torch.optim.Adam, RegressorOptions(backbone="test_resnet", width=16, iterations=iterations), auxiliary)


def other(iterations: int, backbone: str | None = None) -> AuxiliaryOptions:
    return AuxiliaryOptions(backbone=backbone, iterations=iterations)


def checkpoint_of(method: Dual) -> dict[str, Any]:
    """Return the checkpoint content of a method."""
    method.hparams["crop"] = [32, 32]
    return {"state_dict": method.state_dict(), "hyper_parameters": copy.deepcopy(dict(method.hparams))}


@pytest.mark.parametrize(
    "auxiliary", [other(1), other(2, "resnet10t"), AuxiliaryOptions()], ids=["loops", "backbone", "same"]
)
def test_load_restores_the_auxiliary_network(tiny, tmp_path: Path, auxiliary: AuxiliaryOptions):
    crops = MeshCrops(tiny.DotMeshes(2, 5), (32, 32))
    batch = collate([crops[0], crops[1]])
    method = dual(3, auxiliary).eval()
    torch.save(checkpoint_of(method), tmp_path / "dual.ckpt")
    loaded = load(tmp_path / "dual.ckpt")
    with torch.no_grad():
        torch.testing.assert_close(loaded.pseudo(batch).camera, method.pseudo(batch).camera)
        torch.testing.assert_close(loaded(batch).camera, method(batch).camera)


def test_load_reads_old_checkpoints(tmp_path: Path):
    """Check checkpoints without options of the auxiliary network, which had those of the regressor."""
    method = dual(3)
    old = checkpoint_of(method)
    del old["hyper_parameters"]["auxiliary"]
    torch.save(old, tmp_path / "old.ckpt")
    assert load(tmp_path / "old.ckpt").auxiliary.head.iterations == 3
    method.on_load_checkpoint(old)


def test_resume_rejects_other_networks():
    """Check that the number of feedback iterations is compared, which no shape contains."""
    found = checkpoint_of(dual(3, other(2)))
    dual(3, other(2)).on_load_checkpoint(found)
    for method in (dual(3), dual(2, other(2)), dual(3, other(2, "resnet10t"))):
        with pytest.raises(UserError, match=r"of another model \(Dual, .*'iterations': 2"):
            method.on_load_checkpoint(found)

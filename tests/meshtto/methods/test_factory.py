"""Initial weights of networks: each network has exactly one source."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hamipose.errors import UserError
from meshtto.methods import Dual, Regression
from meshtto.methods.checkpoint import load_networks
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, TrainingOptions
from meshtto.regressors.published import to_published

TINY: dict[str, Any] = {"backbone": "test_resnet", "width": 16, "iterations": 2}


def dual(seed: int, auxiliary: AuxiliaryOptions = AuxiliaryOptions(), **options: Any) -> Dual:  # noqa: B008
    torch.manual_seed(seed)
    start = options.pop("init_from", None)
    training = TrainingOptions(init_from=None if start is None else str(start))
    return Dual(torch.optim.Adam, RegressorOptions(**TINY, **options), auxiliary, training)


def save(method: Any, path: Path) -> Path:
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    return path


def head(network: Any) -> torch.Tensor:
    return network.head.fc1.weight.detach().clone()


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    torch.manual_seed(1)
    method = Regression(torch.optim.Adam, RegressorOptions(**TINY))
    return save(method, tmp_path_factory.mktemp("start") / "regression.ckpt"), head(method.regressor)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor, torch.Tensor]:
    method = dual(2)
    path = save(method, tmp_path_factory.mktemp("start") / "dual.ckpt")
    return path, head(method.regressor), head(method.auxiliary)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    network = dual(3).regressor
    path = tmp_path_factory.mktemp("start") / "published.pt"
    torch.save({"model": to_published(network.state_dict(), "encoder.")}, path)
    return path, head(network)


def test_init_from_regressor_fills_only_the_regressor(regression):
    path, weights = regression
    method = dual(0, init_from=path)
    before = head(method.auxiliary)
    load_networks(method)
    assert torch.equal(head(method.regressor), weights)
    assert torch.equal(head(method.auxiliary), before)


def test_init_from_dual_fills_both_networks(both):
    path, regressor, auxiliary = both
    method = dual(0, init_from=path)
    load_networks(method)
    assert torch.equal(head(method.regressor), regressor)
    assert torch.equal(head(method.auxiliary), auxiliary)


def test_auxiliary_init_from_fills_the_auxiliary_network(regression, both):
    """Check that the checkpoint's auxiliary network is used if it has one, else its regressor."""
    alone = dual(0, AuxiliaryOptions(init_from=str(regression[0])))
    before = head(alone.regressor)
    load_networks(alone)
    assert torch.equal(head(alone.auxiliary), regression[1])
    assert torch.equal(head(alone.regressor), before)
    crossed = dual(0, AuxiliaryOptions(init_from=str(regression[0])), init_from=both[0])
    load_networks(crossed)
    assert torch.equal(head(crossed.regressor), both[1])
    assert torch.equal(head(crossed.auxiliary), regression[1])
    of_both = dual(0, AuxiliaryOptions(init_from=str(both[0])), init_from=regression[0])
    load_networks(of_both)
    assert torch.equal(head(of_both.auxiliary), both[2])


@pytest.mark.parametrize("start", ["published", "weights"])
def test_auxiliary_options_take_precedence_over_init_from(published, both, start: str):
    options = {"published": str(published[0])} if start == "published" else {"weights": "none"}
    method = dual(0, AuxiliaryOptions(**options), init_from=both[0])
    before = head(method.auxiliary)
    assert start != "published" or torch.equal(before, published[1])
    load_networks(method)
    assert torch.equal(head(method.auxiliary), before)
    assert torch.equal(head(method.regressor), both[1])


def test_networks_with_two_initializations_are_rejected(published, both, regression):
    file, checkpoint = str(published[0]), str(both[0])
    with pytest.raises(UserError, match=r"auxiliary starts from published \(.*\), init_from \(.*expected one of them"):
        dual(0, AuxiliaryOptions(published=file, init_from=checkpoint))
    with pytest.raises(UserError, match=r"auxiliary starts from weights \(pretrained\), published"):
        dual(0, AuxiliaryOptions(weights="pretrained", published=file))
    with pytest.raises(UserError, match=r"regressor starts from weights \(pretrained\) and published"):
        dual(0, published=file, weights="pretrained")
    method = dual(0, published=file, init_from=regression[0])
    with pytest.raises(UserError, match=r"training\.init_from \(.*\) and regressor\.published"):
        load_networks(method)


def test_auxiliary_options_default_to_the_regressor(published):
    method = dual(0, AuxiliaryOptions(iterations=1))
    assert method.hparams["auxiliary"] == {**method.hparams["regressor"], "iterations": 1}
    same = dual(0, published=str(published[0]))  # without options of its initialization, either
    assert torch.equal(head(same.auxiliary), published[1])
    own = dual(0, AuxiliaryOptions(weights="none"), published=str(published[0]))
    assert not torch.equal(head(own.auxiliary), published[1])


@pytest.mark.parametrize(("name", "value"), [("kind", "hmr"), ("body", "other.safetensors")])
def test_auxiliary_of_another_kind_or_body_is_rejected(name: str, value: str):
    options: dict[str, Any] = {name: value}
    with pytest.raises(UserError, match=rf"auxiliary\.{name} is {value} and regressor\.{name} is"):
        dual(0, AuxiliaryOptions(**options))

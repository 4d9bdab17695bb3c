"""A run that is killed and taken up again ends where it would have ended."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow


def assert_same(a: Any, b: Any, where: str = "checkpoint") -> None:
    """Bitwise equality of nested containers."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_killed_and_resumed_equals_uninterrupted(tiny, fit_elsewhere, tmp_path: Path):
    """Inside an epoch, with dropout, which draws from the generator that has to be restored."""
    options = {"method": "Dual", "dropout": 0.5}
    tiny.fit(out=tmp_path / "whole", **options)
    dead = fit_elsewhere(out=tmp_path / "killed", kill=7, **options)
    assert dead.returncode == -9, dead.stderr
    assert last(tmp_path / "killed")["global_step"] == 6
    torch.manual_seed(99)  # what the new process happens to start from must not matter
    tiny.fit(out=tmp_path / "resumed", resume=tmp_path / "killed" / "checkpoints" / "last.ckpt", **options)
    whole, resumed = last(tmp_path / "whole"), last(tmp_path / "resumed")
    assert whole["global_step"] == resumed["global_step"] == 8
    for end in (whole, resumed):
        del end["random_state"]["python"]  # the type checker of the tests draws from it
    for part in ("random_state", "lr_schedulers", "state_dict", "optimizer_states", "epoch", "hyper_parameters"):
        assert_same(whole[part], resumed[part], part)

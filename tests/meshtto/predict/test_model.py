"""Adaptation phases of a checkpoint with another number of steps."""

import pytest
import torch

from hamipose.errors import UserError
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions, TestTimeOptions
from meshtto.predict.model import adaptation_phases
from meshtto.test_time import SGD, Adam, Phase

HEAD, ALL = Phase(1, SGD(1e-5)), Phase(14, Adam(1e-5), scope="all", pseudo_mesh=False)


def method_of(*phases: Phase) -> Regression:
    options = RegressorOptions(backbone="test_resnet", width=16)
    return Regression(torch.optim.Adam, options, test_time=TestTimeOptions(list(phases)))


@pytest.mark.parametrize(
    ("asked", "steps"), [(None, [1, 14]), (1, [1]), (2, [1, 1]), (14, [1, 13]), (15, [1, 14]), (20, [1, 19]), (0, [])]
)
def test_adaptation_phases_keeps_all_phases(asked: int | None, steps: list[int]):
    found = adaptation_phases(method_of(HEAD, ALL), asked)
    assert [phase.steps for phase in found] == steps
    for phase, own in zip(found, (HEAD, ALL), strict=False):
        assert (phase.rule, phase.scope, phase.pseudo_mesh) == (own.rule, own.scope, own.pseudo_mesh)


def test_adaptation_phases_supports_repeated_phases():
    assert [phase.steps for phase in adaptation_phases(method_of(HEAD, HEAD), 5)] == [1, 4]


def test_adaptation_phases_skips_empty_phases():
    assert adaptation_phases(method_of(HEAD, Phase(0)), 3) == [Phase(3, HEAD.rule)]
    with pytest.raises(UserError, match="has no adaptation phases"):
        adaptation_phases(method_of(Phase(0)), 3)

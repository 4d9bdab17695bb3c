"""Options out of range are rejected by name before training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hamipose.methods import GGA, PGDA, RegDA, UniFrame
from hamipose.methods.ccssl import CurriculumOptions
from hamipose.methods.mdam import MDAMOptions
from hamipose.methods.options import NetworkOptions
from hamipose.methods.uniframe import OcclusionOptions, StyleOptions
from hamipose.methods.validation import check_at_least, check_fraction

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


@pytest.mark.parametrize(
    ("options", "bad"),
    [
        (CurriculumOptions, {"refresh_epochs": 0}),
        (CurriculumOptions, {"views": 0}),
        (CurriculumOptions, {"last": 1.2}),
        (MDAMOptions, {"discard_fraction": -0.1}),
        (MDAMOptions, {"mixup": 0.0}),
        (MDAMOptions, {"least_keypoints": 0}),
        (OcclusionOptions, {"probability": 2.0}),
        (OcclusionOptions, {"side_px": 0.0}),
    ],
)
def test_options_reject_values_out_of_range(options: Callable, bad: dict[str, Any]):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"^{name} is {value}: expected"):
        options(**bad)


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        (UniFrame, {"discard_fraction": 1.5}),
        (GGA, {"searches": -1}),
        (PGDA, {"source_share": 3.0}),
        (RegDA, {"margin": -4.0}),
    ],
)
def test_methods_reject_values_out_of_range(method: Callable, bad: dict[str, Any]):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"^{name} is {value}: expected"):
        method(lambda p: torch.optim.SGD(p, lr=1.0), TINY, **bad)


def test_checks_accept_bounds_and_reject_nan():
    check_at_least(1, views=1)
    check_fraction(share=0.0, other=1.0)
    StyleOptions("decoder.pth", to_target=1.0)
    for check in (lambda: check_at_least(0, radius=float("nan")), lambda: check_fraction(share=float("nan"))):
        with pytest.raises(ValueError, match="is nan"):
            check()

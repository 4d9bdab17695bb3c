"""Tests check the types in signatures of both packages: of arrays, of other values, and of nested functions."""

from typing import Any

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from hamipose.command_line.arguments import at_least
from hamipose.geometry.affine import apply_points
from hamipose.skeletons import Skeleton
from meshtto.methods.options import dict_of_test_time
from meshtto.procrustes import similarity


def test_shapes_are_checked():
    points: Any = np.zeros((4, 3))
    with pytest.raises(TypeCheckError, match="points"):
        apply_points(np.zeros((2, 3)), points)
    with pytest.raises(TypeCheckError, match="matrix"):
        apply_points(np.zeros((2, 3), dtype=int), np.zeros((4, 2)))
    with pytest.raises(TypeCheckError, match="target"):  # as many points as `source`
        similarity(torch.zeros(1, 5, 3), torch.zeros(1, 4, 3))


def test_types_are_checked():
    wrong: Any = "3"
    with pytest.raises(BeartypeCallHintViolation, match="least"):
        at_least(wrong)
    with pytest.raises(BeartypeCallHintViolation, match="word"):  # of a nested function
        at_least(3)(3)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        dict_of_test_time(wrong)
    with pytest.raises(TypeCheckError):  # of a dataclass
        Skeleton(name="body", keypoints=wrong, limbs=(), groups={})

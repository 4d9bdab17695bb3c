"""Tests check the types in signatures of both packages: of arrays, of other values, and of nested functions."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError

from hamipose.command_line.arguments import at_least
from hamipose.geometry.affine import apply_points
from hamipose.skeletons import Skeleton
from meshtto.methods.options import dict_of_test_time
from meshtto.procrustes import similarity
from tests.helpers import type_checks


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


def shapes(
    points: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "n 2"], *, rows: int | None = None
) -> Float[np.ndarray, "n 2"]:
    """Return as many rows as `rows` says."""
    return np.zeros((len(points) if rows is None else rows, 2))


def named(kind: Literal["a", "b"], points: list[Float[np.ndarray, "n 2"]]) -> int:
    return len(points) if kind == "a" else "text"  # type: ignore[return-value]


def test_calls_that_differ_from_a_correct_one_are_checked():
    decorate = type_checks._checked(typechecker=beartype)
    find, count = decorate(shapes), decorate(named)
    five = np.zeros((5, 2))
    for _ in range(3):
        assert len(find(five, five)) == 5
    for wrong in ((five, five[:4]), (five, five.astype(int)), (five[:, :1], five), (five.tolist(), five)):
        with pytest.raises(TypeCheckError):
            find(*wrong)
    assert len(find(five, five, rows=5)) == 5
    for _ in range(2):
        with pytest.raises(TypeCheckError, match="return"):  # arguments of the same types as in a correct call
            find(five, five, rows=4)
    for _ in range(2):
        assert count("a", [five]) == 1
        assert count("a", [np.zeros((1, 2))] * 100) == 100
        for wrong in (("c", [five]), ("a", [five[0]]), ("b", [five])):
            with pytest.raises(TypeCheckError):
                count(*wrong)
    assert type_checks._describe(int) != type_checks._describe(3)
    assert type_checks._describe(str) != type_checks._describe("a" * 100)


def test_correct_calls_are_checked_once():
    checks = []

    def check_shapes(function: Any) -> Any:
        return lambda *arguments, **options: (checks.append(arguments), function(*arguments, **options))[1]

    find = type_checks._check_once(shapes, check_shapes)
    for rows in (5, 5, 4, 4, 5):
        find(np.zeros((5, 2)), np.zeros((5, 2)), rows=rows)
    assert len(checks) == 2  # the first one, and the result with four rows

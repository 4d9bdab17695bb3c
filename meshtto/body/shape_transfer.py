r"""Drive one body with the shape coefficients of another, so that a network trained on one recovers the other.

Both bodies have a T-pose as rest pose and the same joint tree, so rotations carry over. Shape coefficients do not:
the coefficients :math:`\beta_t` of the target are those whose bones in the rest pose are most like the source's,

.. math:: \min_{\beta_t} \lVert b_t(\beta_t) - b_s(\beta_s) \rVert^2 + \lambda \lVert \beta_t \rVert^2

where b are the vectors of all bones, linear in the coefficients. The solution is linear in :math:`\beta_s`.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from meshtto.body.arrays import BodyArrays
from meshtto.joints import PARENTS24

__all__ = ["ShapeMap", "match_shapes", "with_shapes_of"]

#: A coefficient of 1, one standard deviation, counts as much as this error of a bone, in meters.
_PRIOR_M = 0.005


class ShapeMap(NamedTuple):
    """Coefficients and pelvis of a target body as functions of a source's coefficients.

    Attributes:
        matrix, offset: target coefficients are ``source @ matrix + offset``.
        pelvis_dirs_m, pelvis_m: the target's pelvis in its own rest pose is ``source @ pelvis_dirs_m + pelvis_m``,
            relative to that of the source.
    """

    matrix: Float[np.ndarray, "10 10"]
    offset: Float[np.ndarray, "10"]
    pelvis_dirs_m: Float[np.ndarray, "10 3"]
    pelvis_m: Float[np.ndarray, "3"]


def _rest_joints(arrays: BodyArrays) -> tuple[Float[np.ndarray, "24 3"], Float[np.ndarray, "10 24 3"]]:
    """Return the joints of the mean body in the rest pose, and their displacement per unit of each coefficient."""
    return arrays.joint_regressor @ arrays.template_m, np.einsum(
        "jv,vck->kjc", arrays.joint_regressor, arrays.shape_dirs
    )


def _bones(joints_m: Float[np.ndarray, "*shape 24 3"]) -> Float[np.ndarray, "*shape number"]:
    """Return the vectors from each joint's parent to the joint, flat."""
    bones = joints_m[..., 1:, :] - joints_m[..., list(PARENTS24[1:]), :]
    return bones.reshape(*bones.shape[:-2], -1)


def match_shapes(source: BodyArrays, target: BodyArrays) -> ShapeMap:
    """Return the coefficients of a target body whose bones are most like those of a source.

    Args:
        source: body whose coefficients are given.
        target: body whose coefficients are wanted.
    """
    (here, here_dirs), (there, there_dirs) = _rest_joints(source), _rest_joints(target)
    slopes = _bones(there_dirs)
    inverse = np.linalg.inv(slopes @ slopes.T + _PRIOR_M**2 * np.eye(len(slopes)))
    matrix = _bones(here_dirs) @ slopes.T @ inverse
    offset = (_bones(here) - _bones(there)) @ slopes.T @ inverse
    pelvis_dirs_m = matrix @ there_dirs[:, 0] - here_dirs[:, 0]
    return ShapeMap(matrix, offset, pelvis_dirs_m, there[0] + offset @ there_dirs[:, 0] - here[0])


def with_shapes_of(target: BodyArrays, found: ShapeMap) -> BodyArrays:
    """Return the target body with the source's coefficients, and with its pelvis in the source's place.

    Args:
        target: a body.
        found: result of :func:`match_shapes` for the target.
    """
    template_m = target.template_m + target.shape_dirs @ found.offset - found.pelvis_m
    shape_dirs = target.shape_dirs @ found.matrix.T - found.pelvis_dirs_m.T
    return replace(target, template_m=template_m, shape_dirs=shape_dirs)

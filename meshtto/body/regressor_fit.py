"""Fit points inside a body as non-negative, sparse means of its vertices, and pair mirrored vertices."""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["mirror_vertices", "sparse_regressor"]


def sparse_regressor(
    points_m: Float[np.ndarray, "body 3"],
    surface_m: Float[np.ndarray, "body vertex 3"],
    among: Int[np.ndarray, " candidate"],
) -> Float[np.ndarray, " vertex"]:
    r"""Find weights w ≥ 0, :math:`\sum_v w_v = 1`, that minimize :math:`\sum_b |\sum_v w_v x_{bv} - p_b|^2`.

    The solution of non-negative least squares is sparse: most weights end at the bound.

    Args:
        points_m: position of the point in each body.
        surface_m: vertices of each body.
        among: candidate vertices.
    """
    from scipy.optimize import nnls

    away = surface_m[:, among] - points_m[:, None]
    rows = np.concatenate([away.transpose(0, 2, 1).reshape(-1, len(among)), np.full((1, len(among)), len(points_m))])
    target = np.zeros(len(rows))
    target[-1] = len(points_m)
    solution, _ = nnls(rows, target, maxiter=50 * len(among))
    solution[solution < 1e-3 * solution.max()] = 0
    weights = np.zeros(surface_m.shape[1])
    weights[among] = solution / solution.sum()
    return weights


def mirror_vertices(template_m: Float[np.ndarray, "vertex 3"]) -> Int[np.ndarray, " vertex"]:
    """Return each vertex's mirror image, x ↦ −x: an involution that pairs the nearest vertices.

    Raises:
        ValueError: the surface is not symmetric.
    """
    from scipy.spatial import cKDTree

    mirrored = template_m * [-1, 1, 1]
    away, other = cKDTree(template_m).query(mirrored)
    if away.max() > 2e-3:
        raise ValueError(f"the surface is not symmetric: a mirrored vertex lies {away.max():.4f} m from any vertex")
    # Close vertices (lips, eyelids) may share a nearest vertex: pair the closest ones first.
    left = np.flatnonzero(other[other] != np.arange(len(other)))
    distance = np.linalg.norm(mirrored[left, None] - template_m[left], axis=-1)
    while len(left):
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        other[left[i]], other[left[j]] = left[j], left[i]
        keep = ~np.isin(np.arange(len(left)), [i, j])
        left, distance = left[keep], distance[keep][:, keep]
    return other

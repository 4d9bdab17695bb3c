"""Random body models, random poses, and the vertices and joints that smplx computes from them."""

import numpy as np
import torch
from roma import random_rotmat

from meshtto.body.arrays import BodyArrays
from meshtto.body.smpl import smplx_model


def make_arrays(vertices: int = 40, features: int = 207) -> BodyArrays:
    """Return random arrays with the shapes of SMPL's."""
    rng = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        raw = rng.random(shape) ** 4
        return raw / raw.sum(-1, keepdims=True)

    return BodyArrays(
        name="small",
        gender="female",
        template_m=rng.standard_normal((vertices, 3)),
        shape_dirs=0.1 * rng.standard_normal((vertices, 3, 10)),
        pose_dirs=0.1 * rng.standard_normal((vertices, 3, features)),
        joint_regressor=rows(24, vertices),
        weights=rows(vertices, 24),
        faces=rng.integers(0, vertices, (60, 3)),
        picked=rng.permutation(vertices)[:21],
        extra_regressor=rows(9, vertices),
        h36m_regressor=rows(17, vertices),
        mean_rotations6d=rng.standard_normal(144),
        mean_shape=rng.standard_normal(10),
    )


def make_inputs(batch: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        random_rotmat((batch, 24), dtype=dtype),
        torch.randn(batch, 10, dtype=dtype),
        torch.randn(batch, 3, dtype=dtype),
    )


def compute_with_smplx(arrays: BodyArrays, rotations: torch.Tensor, shape: torch.Tensor, translation: torch.Tensor):
    """Return the vertices, 24 + 21 joints and nine regressed joints that smplx computes."""
    model = smplx_model(arrays)
    if not arrays.pose_dirs.shape[-1]:
        model.posedirs = torch.zeros(207, 3 * len(arrays.template_m))
    out = model(
        betas=shape,
        global_orient=rotations[:, :1],
        body_pose=rotations[:, 1:],
        transl=translation,
        pose2rot=False,
    )
    extra = torch.einsum("kv,bvc->bkc", torch.tensor(arrays.extra_regressor, dtype=torch.float32), out.vertices)
    return out.vertices, torch.cat([out.joints, extra], 1)

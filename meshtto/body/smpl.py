"""Arrays → ``smplx.SMPL``. The only import of smplx, whose code is licensed for non-commercial use."""

import contextlib
import io

import numpy as np
import smplx
import torch
from smplx.utils import Struct

from meshtto.body.arrays import BodyArrays
from meshtto.joints import PARENTS24

__all__ = ["smplx_model"]

#: How smplx calls the vertices of `meshtto.joints.PICKED_VERTICES`.
_SMPLX_NAMES = (
    *("nose", "reye", "leye", "rear", "lear"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
    *(f"{side}{tip}" for side in "lr" for tip in ("thumb", "index", "middle", "ring", "pinky")),
)


def smplx_model(arrays: BodyArrays) -> smplx.SMPL:
    """The model as smplx loads it, without parameters of its own.

    A body without pose corrections is given a single column of zeros, for smplx cannot do without any: its own
    `forward` then needs ``posedirs`` of 207 rows.
    """
    corrections = arrays.pose_dirs if arrays.pose_dirs.shape[-1] else np.zeros((len(arrays.template_m), 3, 1))
    struct = Struct(
        v_template=arrays.template_m,
        shapedirs=arrays.shape_dirs,
        posedirs=corrections,
        J_regressor=arrays.joint_regressor,
        weights=arrays.weights,
        f=arrays.faces,
        kintree_table=np.stack([np.array(PARENTS24), np.arange(len(PARENTS24))]).astype(np.int64),
    )
    ids = dict(zip(_SMPLX_NAMES, (int(i) for i in arrays.picked), strict=True))
    with contextlib.redirect_stdout(io.StringIO()):  # it warns of ten coefficients, which is what we want
        return smplx.SMPL(
            model_path="",
            data_struct=struct,
            vertex_ids=ids,
            gender=arrays.gender,
            create_betas=False,
            create_global_orient=False,
            create_body_pose=False,
            create_transl=False,
            dtype=torch.float32,
        )

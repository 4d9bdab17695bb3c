"""Convert arrays to ``smplx.SMPL``. This is the only import of smplx, whose license is non-commercial."""

import contextlib
import io

import numpy as np
import smplx
import torch
from smplx.utils import Struct

from meshtto.body.arrays import BodyArrays
from meshtto.joints import PARENTS24

__all__ = ["smplx_model"]

#: smplx's names of the vertices `meshtto.joints.PICKED_VERTICES`.
_SMPLX_NAMES = (
    *("nose", "reye", "leye", "rear", "lear"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
    *(f"{side}{tip}" for side in "lr" for tip in ("thumb", "index", "middle", "ring", "pinky")),
)


def smplx_model(arrays: BodyArrays) -> smplx.SMPL:
    """Return the model as smplx loads it, without parameters of its own.

    A body without pose corrections gets a single column of zeros, because smplx requires some: its own `forward` then
    needs ``posedirs`` with 207 rows.
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
    with contextlib.redirect_stdout(io.StringIO()):  # suppress its warning about ten coefficients
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

"""Joints in Human3.6M's own annotation files, in pixels (``D2_Positions``) or millimeters (``D3_Positions_mono``)."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.io.file_type import describe_error, explain

__all__ = ["read_pose"]


def read_pose(path: Path, axes: int) -> Float[np.ndarray, "frame 32 axes"]:
    """All 32 joints of one clip, in the file's own order and unit.

    Args:
        path: ``<action>.<camera>.cdf``.
        axes: 2 or 3 numbers a joint.

    Raises:
        UserError: cdflib is not installed; the file cannot be read, lacks ``Pose``, or has another form.
    """
    require_packages("reading the official files of Human3.6M", "cdflib")
    import cdflib

    try:
        pose = np.asarray(cdflib.CDF(path).varget("Pose"))
    except Exception as error:  # cdflib raises what the damaged bytes lead it to
        told = "cannot be used" if "'Pose'" in str(error) else explain(path, "a CDF file")
        told += f" ({describe_error(error)})"
        raise UserError(f"annotation file {path} {told}; expected a CDF file with Pose") from None
    if pose.ndim != 3 or pose.shape[0] != 1 or pose.shape[2] != 32 * axes or pose.dtype.kind != "f":
        raise UserError(
            f"Pose in {path} is {pose.dtype} of shape {pose.shape}, expected finite numbers of 1 × frames × {32 * axes}"
        )
    if not np.isfinite(pose).all():
        raise UserError(f"Pose in {path} holds numbers that are not finite; expected positions")
    return pose[0].reshape(-1, 32, axes)

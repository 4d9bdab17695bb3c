"""The arrays that define a body: validation, and storage in a safetensors file, which cannot contain code."""

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain
from meshtto.joints import H36M17, PICKED_VERTICES, SMPL24, VERTEX_ROWS
from meshtto.types import GENDERS

__all__ = ["FORMAT", "BodyArrays", "read_arrays", "write_arrays"]

#: Increase when the meaning of a file's content changes.
FORMAT = "meshtto body 1"


@dataclass
class BodyArrays:
    """A body in SMPL's shape.

    Attributes:
        name: name in results.
        gender: one of `meshtto.types.GENDERS`.
        template_m: the mean body in the rest pose: x to its left, y up, z forward.
        shape_dirs: displacement of each vertex per unit of each coefficient, in meters.
        pose_dirs: displacement of each vertex per entry of R − 1 of the 23 joints; no columns if the body has none.
        joint_regressor: regresses joints from vertices in the rest pose.
        weights: skinning weights; rows sum to 1.
        faces: counter-clockwise seen from outside.
        picked: vertices used as `PICKED_VERTICES`.
        extra_regressor: regresses `VERTEX_ROWS` from posed vertices.
        h36m_regressor: regresses `H36M17` from posed vertices.
        mean_rotations6d: initial pose of a regressor, a row per joint; see `mean_parameters`.
        mean_shape: initial shape of a regressor.
    """

    name: str
    gender: str
    template_m: Float[np.ndarray, "vertex 3"]
    shape_dirs: Float[np.ndarray, "vertex 3 10"]
    pose_dirs: Float[np.ndarray, "vertex 3 feature"]
    joint_regressor: Float[np.ndarray, "24 vertex"]
    weights: Float[np.ndarray, "vertex 24"]
    faces: Int[np.ndarray, "face 3"]
    picked: Int[np.ndarray, "21"]
    extra_regressor: Float[np.ndarray, "9 vertex"]
    h36m_regressor: Float[np.ndarray, "17 vertex"]
    mean_rotations6d: Float[np.ndarray, "144"]
    mean_shape: Float[np.ndarray, "10"]

    def check(self, where: str) -> None:
        """Check that the arrays are consistent.

        Args:
            where: name of the source for error messages.

        Raises:
            UserError: the arrays are inconsistent.
        """
        vertices, features = len(self.template_m), self.pose_dirs.shape[-1]
        expected = {
            "template_m": (vertices, 3),
            "shape_dirs": (vertices, 3, 10),
            "pose_dirs": (vertices, 3, 9 * (len(SMPL24) - 1) if features else 0),
            "joint_regressor": (len(SMPL24), vertices),
            "weights": (vertices, len(SMPL24)),
            "faces": (len(self.faces), 3),
            "picked": (len(PICKED_VERTICES),),
            "extra_regressor": (len(VERTEX_ROWS), vertices),
            "h36m_regressor": (len(H36M17), vertices),
            "mean_rotations6d": (6 * len(SMPL24),),
            "mean_shape": (10,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise UserError(f"{name} of {where} has shape {array.shape}, expected {shape}; is it a body of SMPL?")
            if not np.isfinite(array).all():
                raise UserError(f"{name} of {where} contains numbers that are not finite; get the file again")
        for name in ("faces", "picked"):
            array = getattr(self, name)
            if array.min() < 0 or array.max() >= vertices:
                raise UserError(f"{name} of {where} names vertex {array.max()}, but there are {vertices}")
        for name in ("joint_regressor", "weights", "extra_regressor", "h36m_regressor"):
            total = getattr(self, name).sum(1)
            if abs(total - 1).max() > 1e-2:
                raise UserError(f"a row of {name} of {where} sums to {total[abs(total - 1).argmax()]:.3f}, expected 1")
        if self.gender not in GENDERS:
            raise UserError(f"gender of {where} is {self.gender!r}, expected one of {', '.join(GENDERS)}")


def write_arrays(arrays: BodyArrays, path: Path) -> None:
    """Write a body's arrays atomically."""
    from safetensors.numpy import save

    tensors = {f.name: getattr(arrays, f.name) for f in fields(arrays)}
    words = {name: tensors.pop(name) for name in ("name", "gender")}
    contiguous = {
        name: np.ascontiguousarray(array, np.int32 if array.dtype.kind == "i" else np.float32)
        for name, array in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(save(contiguous, {"format": FORMAT, "body": json.dumps(words)}))
    os.replace(unfinished, path)


def read_arrays(path: Path) -> BodyArrays:
    """Read and check a converted body.

    Raises:
        UserError: the file does not exist, or contains something else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"body {path} does not exist; create it with: python -m meshtto body import SMPL.pkl")
    try:
        with safe_open(path, "numpy") as file:
            words = file.metadata() or {}
            version = words.get("format")
            if version != FORMAT:
                raise UserError(
                    f"{path} has format {version!r}, expected {FORMAT!r}; convert again: python -m meshtto body import"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        arrays = BodyArrays(**json.loads(words["body"]), **tensors)
    except UserError:
        raise
    except SafetensorError:
        problem = explain(path, "a safetensors file")
        raise UserError(f"body {path} {problem}; create it with: python -m meshtto body import SMPL.pkl") from None
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a converted body ({describe_error(error)}); create it with: "
            "python -m meshtto body import SMPL.pkl"
        ) from None
    arrays.check(str(path))
    return arrays

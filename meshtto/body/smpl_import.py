"""Convert the user's SMPL pickle once to a file of arrays, without executing anything in it.

SMPL's files are Python 2 pickles with numpy arrays, a scipy matrix and objects of chumpy, a library that no longer
installs. Stubs replace these objects; the two chumpy types that occur are evaluated, ``Ch`` (an array x) and ``Select``
(some entries of an array a).
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hamipose.errors import UserError
from hamipose.io.file_type import describe_error, explain, explain_numpy, file_kind
from hamipose.io.safe_pickle import PYTHON2_OBJECTS, load_pickle
from meshtto.body.arrays import BodyArrays, write_arrays
from meshtto.joints import H36M17, PARENTS24, PICKED_VERTICES, SMPL24, VERTEX_ROWS

__all__ = [
    "SMPL_PICKED",
    "import_smpl",
]

_VERTICES = 6890
_NPY = "a NumPy array (.npy)"
_NPZ = "a NumPy archive (.npz)"

#: SMPL's vertices used as `PICKED_VERTICES` (smplx's choice).
SMPL_PICKED = (
    *(332, 6260, 2800, 4071, 583),
    *(3216, 3226, 3387, 6617, 6624, 6787),
    *(2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133),
)
assert len(SMPL_PICKED) == len(PICKED_VERTICES)


class _Stub:
    """Replaces an object and keeps its state."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __getattr__(self, name: str) -> Any:
        if name == "state":  # pickled without a state
            return {}
        raise AttributeError(name)


class _Chumpy(_Stub):
    pass


class _Select(_Stub):
    pass


class _Sparse(_Stub):
    pass


_ALLOWED = {
    **PYTHON2_OBJECTS,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Select,
    **{
        (f"scipy.sparse{module}", f"{kind}_{what}"): _Sparse
        for kind in ("csc", "csr")
        for module in ("", f".{kind}", f"._{kind}")
        for what in ("matrix", "array")
    },
}


def _array(value: Any) -> np.ndarray:
    """Evaluate a value of the pickle."""
    if isinstance(value, _Chumpy):
        return _array(value.state["x"])
    if isinstance(value, _Select):
        chosen = _array(value.state["a"]).ravel()[_array(value.state["idxs"]).astype(np.int64)]
        shape = value.state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape([int(n) for n in shape])
    if isinstance(value, _Sparse):
        return _dense(value.state)
    return np.asarray(value)


def _dense(state: dict[str, Any]) -> np.ndarray:
    """Convert a compressed sparse matrix; the number of its pointers determines its format."""
    from scipy.sparse import csc_matrix, csr_matrix

    shape = tuple(int(n) for n in state["_shape" if "_shape" in state else "shape"])
    parts = tuple(np.asarray(state[name]) for name in ("data", "indices", "indptr"))
    kind = csc_matrix if len(parts[2]) == shape[1] + 1 else csr_matrix
    matrix = kind(parts, shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a SMPL file saved as .npz, except those that require a pickle."""
    content = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                with suppress(ValueError):  # an array of objects
                    content[name] = file[name]
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(f"{path} {explain(path, _NPZ, _NPZ)} ({describe_error(error)})") from None
    return content


def _read_smpl_pickle(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a SMPL file, a pickle or .npz, without executing anything in it.

    Raises:
        UserError: it cannot be read, refers to anything but numpy, scipy.sparse and chumpy, or is not a SMPL body.
    """
    content = _read_npz(path) if path.is_file() and file_kind(path) == _NPZ else load_pickle(path, _ALLOWED)
    if not isinstance(content, dict):
        raise UserError(f"{path} contains a {type(content).__name__}, expected the dictionary of a SMPL model")
    required = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
    missing = [name for name in required if name not in content]
    if missing:
        raise UserError(f"{path} has no {', '.join(missing)}; expected SMPL_NEUTRAL.pkl or another file of SMPL")
    try:
        arrays = {name: _array(content[name]) for name in required}
    except Exception as error:  # a foreign pickle can raise anything
        raise UserError(f"{path} contains an array that cannot be read ({describe_error(error)})") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"{name} of {path} contains {array.dtype}, expected numbers")
    return arrays


def _regressor(path: Path, rows: int, what: str) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(f"{what} {path} {explain_numpy(path, _NPY, error)}; it comes with SPIN's data") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{what} {path} is {file_kind(path)}, not {_NPY}; it comes with SPIN's data")
    if getattr(array, "shape", None) != (rows, _VERTICES):
        raise UserError(f"{what} {path} has shape {getattr(array, 'shape', None)}, expected {(rows, _VERTICES)}")
    return array


def _mean(path: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a regressor's initial parameters: smpl_mean_params.npz, or the rest pose, facing the camera."""
    if path is None:
        upright = np.broadcast_to(np.eye(3)[:, :2], (len(SMPL24), 3, 2)).copy()
        upright[0] = np.diag([1.0, -1.0, -1.0])[:, :2]
        return upright.reshape(-1), np.zeros(10)
    try:
        with np.load(path, allow_pickle=False) as file:
            pose, shape = np.asarray(file["pose"]), np.asarray(file["shape"])
    except KeyError as error:
        raise UserError(f"mean parameters {path}: {describe_error(error)}; expected smpl_mean_params.npz") from None
    except Exception as error:  # damaged bytes can raise anything
        raise UserError(
            f"mean parameters {path} {explain_numpy(path, _NPZ, error)}; expected smpl_mean_params.npz"
        ) from None
    if pose.size != 144 or shape.size != 10:
        raise UserError(
            f"mean parameters {path} have {pose.size} and {shape.size} numbers, expected 144 of pose, 10 of shape"
        )
    return pose.reshape(-1), shape.reshape(-1)


def import_smpl(path: Path, out: Path, gender: str, h36m: Path, extra: Path, mean: Path | None = None) -> BodyArrays:
    """Convert a SMPL file.

    Args:
        path: SMPL_NEUTRAL.pkl, SMPL_MALE.pkl or SMPL_FEMALE.pkl, original or cleaned of chumpy.
        out: the file to write.
        gender: gender of the body.
        h36m: J_regressor_h36m.npy, for the 14 joints of the evaluation.
        extra: J_regressor_extra.npy, for nine of the 49 joints.
        mean: smpl_mean_params.npz, initial parameters of regressors; default: the rest pose.

    Raises:
        UserError: a file is missing, damaged, of the wrong kind, or contains code.
    """
    read = _read_smpl_pickle(path)
    tree = read["kintree_table"]
    if tree.shape != (2, len(SMPL24)) or tuple(tree[0].astype(np.int64)[1:]) != PARENTS24[1:]:
        raise UserError(f"kintree_table of {path} is not SMPL's 24 joints; is it SMPL+H, SMPL-X or MANO?")
    if read["v_template"].shape != (_VERTICES, 3):
        raise UserError(f"v_template of {path} has shape {read['v_template'].shape}, expected {(_VERTICES, 3)}")
    shapes = read["shapedirs"]
    if shapes.ndim != 3 or shapes.shape[-1] < 10:
        raise UserError(f"shapedirs of {path} has shape {shapes.shape}, expected {(_VERTICES, 3)} and 10 or more")
    pose, shape = _mean(mean)
    arrays = BodyArrays(
        name="SMPL",
        gender=gender,
        template_m=read["v_template"],
        shape_dirs=shapes[..., :10],
        pose_dirs=read["posedirs"],
        joint_regressor=read["J_regressor"],
        weights=read["weights"],
        faces=read["f"].astype(np.int64),
        picked=np.array(SMPL_PICKED),
        extra_regressor=_regressor(extra, len(VERTEX_ROWS), "extra regressor"),
        h36m_regressor=_regressor(h36m, len(H36M17), "Human3.6M regressor"),
        mean_rotations6d=pose,
        mean_shape=shape,
    )
    arrays.check(str(path))
    write_arrays(arrays, out)
    return arrays

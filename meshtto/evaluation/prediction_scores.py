"""Score external predictions under the same protocol: vertices, 14 joints, or SMPL parameters from an NPZ file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from hamipose.io.file_type import explain_numpy
from meshtto.body import Body, body_source, load_body
from meshtto.data.base import MeshDataset
from meshtto.joints import EVALUATION14
from meshtto.metrics import MPJPE, PAMPJPE, PVE, MeanError, Protocol, joint_targets
from meshtto.types import GENDERS

__all__ = ["evaluate", "read_arrays", "read_predictions"]

_CHUNK = 32
_NPZ = "a NumPy archive (.npz)"


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a prediction file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name != "name"}
    except Exception as error:  # damaged bytes can raise anything
        problem = explain_numpy(path, _NPZ, error)
        raise UserError(f"predictions {path} {problem}; give an NPZ file of plain arrays") from None


def read_predictions(path: str | Path, dataset: MeshDataset) -> dict[str, np.ndarray]:
    """Read arrays whose row i is the prediction for person i of the data set.

    The file contains one of ``vertices_m`` [N, V, 3], ``joints_m`` [N, 14, 3] (in the order of `EVALUATION14`, relative
    to the pelvis regressed with them), or ``shape`` [N, 10] with ``rotations`` [N, 24, 3, 3] or axis-angle ``pose`` [N,
    72]; in meters. ``index`` [N] assigns rows to people; without it rows are in the data set's order.

    Raises:
        UserError: the file cannot be read, contains none of these, has wrong shapes or non-finite numbers, or does not
            have exactly one row per person.
    """
    arrays = read_arrays(path)
    shapes = {"vertices_m": (None, 3), "joints_m": (14, 3), "rotations": (24, 3, 3), "pose": (72,), "shape": (10,)}
    selected = {name: arrays[name] for name in shapes if name in arrays}
    if "vertices_m" not in selected and "joints_m" not in selected and not ("shape" in selected and len(selected) > 1):
        raise UserError(
            f"predictions {path} contain {', '.join(arrays) or 'nothing'}; expected vertices_m, joints_m, or shape "
            "with rotations or pose"
        )
    count = len(dataset)
    for name, array in selected.items():
        wanted = shapes[name]
        fits = array.ndim == len(wanted) + 1
        fits = fits and all(w in (None, s) for w, s in zip(wanted, array.shape[1:], strict=True))
        if not fits or len(array) != count:
            expected = ", ".join([str(count), *("V" if w is None else str(w) for w in wanted)])
            raise UserError(f"{name} of {path} has the shape {array.shape}, expected ({expected}), one row per person")
        if not np.isfinite(array).all():
            raise UserError(f"{name} of {path} contains numbers that are not finite; fix them")
    if "index" in arrays:
        index = arrays["index"]
        if sorted(index.tolist()) != list(range(count)):
            raise UserError(f"index of {path} does not name each of the {count} people once; expected 0 … {count - 1}")
        order = np.argsort(index)
        selected = {name: array[order] for name, array in selected.items()}
    return selected


def _rotations(rows: dict[str, Tensor]) -> Tensor:
    return rows["rotations"] if "rotations" in rows else roma.rotvec_to_rotmat(rows["pose"].view(-1, 24, 3))


def _labels(dataset: MeshDataset, rows: range) -> dict[str, Any]:
    samples = [dataset[i] for i in rows]
    names = ("rotations", "shape", "joints_m", "joints_confidence")
    arrays = {name: torch.from_numpy(np.stack([getattr(s, name) for s in samples])).float() for name in names}
    return {**arrays, "gender": [s.gender for s in samples], "has_mesh": torch.tensor([s.has_mesh for s in samples])}


def _true_vertices(labels: dict[str, Any], bodies: dict[str, Body], name: str) -> Float[Tensor, "batch vertex 3"]:
    vertices = []
    for i, gender in enumerate(labels["gender"]):
        if GENDERS[gender] not in bodies:
            bodies[GENDERS[gender]] = load_body(name, GENDERS[gender])
        body = bodies[GENDERS[gender]]
        vertices.append(body(labels["rotations"][i : i + 1], labels["shape"][i : i + 1]).vertices_m)
    return torch.cat(vertices)


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


@torch.no_grad()
def evaluate(predictions: dict[str, np.ndarray], dataset: MeshDataset, body: str = "builtin") -> dict[str, Any]:
    """Compute MPJPE, PA-MPJPE and PVE in mm as far as possible, with the protocol and per-joint errors.

    Args:
        predictions: result of :func:`read_predictions`.
        dataset: a labeled data set.
        body: body of the parameters and labels, see :func:`meshtto.body.load_body`.

    Raises:
        UserError: labels or vertices belong to another body.
    """
    bodies = {"neutral": load_body(body)}
    neutral = bodies["neutral"]
    if dataset.label_body not in (None, neutral.name):
        raise UserError(
            f"labels of {type(dataset).__name__} belong to the body {dataset.label_body}, --body {body} is "
            f"{neutral.name}; give the body of its labels with --body"
        )
    joints = len(EVALUATION14)
    metrics: dict[str, MeanError] = {"mpjpe": MPJPE(joints), "pa_mpjpe": PAMPJPE(joints), "pve": PVE()}
    vertices = predictions.get("vertices_m")
    if vertices is not None and vertices.shape[1] != len(neutral.template) // 3:
        raise UserError(
            f"vertices_m has {vertices.shape[1]} vertices, the body {body} {len(neutral.template) // 3}; give the body "
            "that they belong to with --body"
        )
    for rows in _chunks(len(dataset)):
        labels = _labels(dataset, rows)
        true = _true_vertices(labels, bodies, body)
        batch = {k: torch.from_numpy(v[rows.start : rows.stop]).float() for k, v in predictions.items()}
        predicted_vertices = batch.get("vertices_m")
        if predicted_vertices is None and "shape" in batch:
            predicted_vertices = neutral(_rotations(batch), batch["shape"]).vertices_m
        predicted_joints = (
            batch["joints_m"] if predicted_vertices is None else neutral.evaluation_joints(predicted_vertices)
        )
        has_mesh, labeled = labels["has_mesh"], neutral.evaluation_joints(true)
        target, known = joint_targets(labeled, labels["joints_m"], labels["joints_confidence"], has_mesh)
        metrics["mpjpe"].update(predicted_joints, target, known)
        metrics["pa_mpjpe"].update(predicted_joints, target, known)
        if predicted_vertices is not None:
            metrics["pve"].update(predicted_vertices, true, has_mesh)
    per_point = metrics["mpjpe"].per_point().tolist()
    genders = Protocol.gender if body_source(body).gendered else "neutral"
    unknown = "unknown: external predictions"
    protocol = Protocol(body=Path(body).name, gender=genders, evidence=unknown, boxes=unknown)
    return {
        "protocol": protocol.as_dict(),
        "people": len(dataset),
        "errors_mm": {k: float(m.compute()) for k, m in metrics.items() if float(m.count) > 0},
        "per_joint_mm": dict(zip(EVALUATION14, per_point, strict=True)),
    }

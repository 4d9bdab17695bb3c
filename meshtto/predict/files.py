"""A person's mesh and numbers as files: OBJ, GLB, NPZ, JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int

__all__ = ["write_mesh", "write_numbers"]


def write_mesh(
    stem: Path, vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Path, Path]:
    """STEM.obj and STEM.glb in metres, y up, as viewers expect: camera axes turned by 180° about x.

    Args:
        stem: path without ending.
        vertices_m: in camera axes.
        faces: triangles.
    """
    upright = vertices_m * np.array([1.0, -1.0, -1.0])
    mesh = trimesh.Trimesh(upright, faces, process=False)
    paths = (stem.with_name(stem.name + ".obj"), stem.with_name(stem.name + ".glb"))
    for path in paths:
        mesh.export(path)
    return paths


def write_numbers(stem: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> tuple[Path, Path]:
    """STEM.npz with all arrays; STEM.json with the small ones and what they mean."""
    paths = (stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json"))
    np.savez_compressed(paths[0], **arrays)  # type: ignore[arg-type]
    small = {k: np.asarray(v).round(6).tolist() for k, v in arrays.items() if v.size <= 216}
    paths[1].write_text(json.dumps({**facts, **small}, indent=1) + "\n")
    return paths

"""Which body: the built-in one, built once and kept, or the user's SMPL, converted once."""

import os
import re
from functools import lru_cache
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from hamipose.errors import InputError
from meshtto.body.arrays import BodyArrays, read_arrays, write_arrays
from meshtto.body.layer import Body
from meshtto.types import GENDERS

__all__ = ["builtin_path", "load_body", "mean_parameters"]


def builtin_path() -> Path:
    """Where the built-in body is kept: beside what anny keeps of itself (``ANNY_CACHE_DIR``, ~/.cache/anny)."""
    from importlib.metadata import version

    from meshtto.body.builtin import VERSION

    cache = Path(os.environ.get("ANNY_CACHE_DIR", Path.home() / ".cache" / "anny"))
    return cache / f"meshtto-body-{VERSION}-anny-{version('anny')}.safetensors"


@lru_cache(maxsize=4)
def _arrays(path: Path, builtin: bool) -> BodyArrays:
    if builtin and not path.is_file():
        from meshtto.body.builtin import build

        write_arrays(build(), path)
    return read_arrays(path)


def load_body(name_or_path: str = "builtin", gender: str = "neutral") -> Body:
    """A body model.

    Args:
        name_or_path: "builtin", or a file that ``python -m meshtto body import`` wrote.
        gender: of the body wanted. The built-in body is one for all. A file of another gender leads to the one beside
            it whose name says so: ``smpl_neutral.safetensors`` to ``smpl_male.safetensors``.

    Raises:
        InputError: no such gender, no such file, or a file that holds no body.
    """
    if gender not in GENDERS:
        raise InputError(f"gender is {gender!r}, expected one of {', '.join(GENDERS)}")
    if name_or_path == "builtin":
        return Body(_arrays(builtin_path(), True))
    path = Path(name_or_path)
    arrays = _arrays(path, False)
    if arrays.gender != gender:
        beside = path.with_name(re.sub(f"(?i){arrays.gender}", gender, path.name))
        if beside == path or not beside.is_file():
            raise InputError(
                f"{path} is a {arrays.gender} body, asked for is a {gender} one; expected that in {beside.name} beside "
                "it, since names tell the gender: python -m meshtto body import --out"
            )
        arrays = _arrays(beside, False)
        if arrays.gender != gender:
            raise InputError(
                f"{beside} is a {arrays.gender} body, its name says {gender}; convert the right file again"
            )
    return Body(arrays)


def mean_parameters(
    body: Body,
) -> tuple[Float[Tensor, "144"], Float[Tensor, "10"], Float[Tensor, "3"]]:
    """Where a regressor starts: pose, shape and camera.

    The built-in body starts in its T-pose, upright before the camera; SMPL where ``smpl_mean_params.npz`` says, if it
    was given when the body was converted. The camera is (scale, x, y) of the crop, (0.9, 0, 0) in every paper.

    Returns:
        The first two columns of each joint's rotation, row by row (SPIN's layout); coefficients; camera.
    """
    return body.mean_rotations6d.clone(), body.mean_shape.clone(), body.mean_shape.new_tensor([0.9, 0.0, 0.0])

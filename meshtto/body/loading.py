"""Load bodies: the built-in one, built once and cached, or the user's converted SMPL files."""

import os
import re
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from hamipose.errors import UserError
from meshtto.body.arrays import BodyArrays, read_arrays, write_arrays
from meshtto.body.layer import Body
from meshtto.types import GENDERS

__all__ = ["BODIES", "BodySource", "body_source", "builtin_path", "load_body", "mean_parameters"]


def builtin_path() -> Path:
    """Return the path of the cached built-in body, beside anny's own cache (``ANNY_CACHE_DIR``, ~/.cache/anny)."""
    from importlib.metadata import version

    from meshtto.body.builtin import VERSION

    cache = Path(os.environ.get("ANNY_CACHE_DIR", Path.home() / ".cache" / "anny"))
    return cache / f"meshtto-body-{VERSION}-anny-{version('anny')}.safetensors"


@lru_cache(maxsize=4)
def _arrays(path: Path) -> BodyArrays:
    return read_arrays(path)


class BodySource(ABC):
    """Source of a body model.

    Attributes:
        gendered: whether there are different bodies for different genders.
    """

    gendered: bool

    @abstractmethod
    def arrays(self, gender: str) -> BodyArrays:
        """Return the arrays of the body of a gender."""


class BuiltinBody(BodySource):
    """The built-in body, one for all genders; it is built on first use."""

    gendered = False

    def arrays(self, gender: str) -> BodyArrays:
        """Return the arrays of the built-in body, or build it."""
        path = builtin_path()
        if not path.is_file():
            from meshtto.body.builtin import build

            write_arrays(build(), path)
        return _arrays(path)


class SmplFile(BodySource):
    """A converted SMPL file, with those of the other genders beside it.

    Args:
        path: a file written by ``python -m meshtto body import``.
    """

    gendered = True

    def __init__(self, path: Path):
        self.path = path

    def arrays(self, gender: str) -> BodyArrays:
        """Return the arrays of the body of a gender: ``smpl_male.safetensors`` beside ``smpl_neutral.safetensors``.

        Raises:
            UserError: there is no such file, or it contains another body.
        """
        arrays = _arrays(self.path)
        if arrays.gender != gender:
            beside = self.path.with_name(re.sub(f"(?i){arrays.gender}", gender, self.path.name))
            if beside == self.path or not beside.is_file():
                raise UserError(
                    f"{self.path} is a {arrays.gender} body, but a {gender} one is needed; expected it in "
                    f"{beside.name} beside it, since names state the gender: python -m meshtto body import --out"
                )
            arrays = _arrays(beside)
            if arrays.gender != gender:
                raise UserError(
                    f"{beside} is a {arrays.gender} body, but its name says {gender}; convert the right file again"
                )
        return arrays


#: Bodies by name. Any other name is the path of a SMPL file.
BODIES: dict[str, type[BodySource]] = {"builtin": BuiltinBody}


def body_source(name_or_path: str) -> BodySource:
    """Return the source of a body.

    Args:
        name_or_path: a name in `BODIES`, or a file written by ``python -m meshtto body import``.
    """
    return BODIES[name_or_path]() if name_or_path in BODIES else SmplFile(Path(name_or_path))


def load_body(name_or_path: str = "builtin", gender: str = "neutral") -> Body:
    """Load a body model.

    Args:
        name_or_path: a name in `BODIES`, or a file written by ``python -m meshtto body import``.
        gender: gender of the body. The built-in body is the same for all. For a file of another gender, the file beside
            it with that gender in its name is loaded: ``smpl_male.safetensors`` for ``smpl_neutral.safetensors``.

    Raises:
        UserError: unknown gender, missing file, or a file that does not contain a body.
    """
    if gender not in GENDERS:
        raise UserError(f"gender is {gender!r}, expected one of {', '.join(GENDERS)}")
    return Body(body_source(name_or_path).arrays(gender))


def mean_parameters(
    body: Body,
) -> tuple[Float[Tensor, "144"], Float[Tensor, "10"], Float[Tensor, "3"]]:
    """Return the initial pose, shape and camera of a regressor.

    The built-in body starts in its T-pose, upright and facing the camera; SMPL starts from ``smpl_mean_params.npz`` if
    it was given when the body was converted. The camera is (scale, x, y) of the crop, (0.9, 0, 0) in all papers.

    Returns:
        The first two columns of each joint's rotation, row by row (SPIN's layout); coefficients; camera.
    """
    return body.mean_rotations6d.clone(), body.mean_shape.clone(), body.mean_shape.new_tensor([0.9, 0.0, 0.0])

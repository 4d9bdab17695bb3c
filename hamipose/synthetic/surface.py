"""What the renderer and the wardrobe have to know of a surface, be it a body's or a hand's."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Surface"]


@runtime_checkable
class Surface(Protocol):
    """Constant facts of a mesh; see `bodies.Bodies` for their meaning."""

    faces: Int[np.ndarray, "face 3"]
    part: Int[np.ndarray, " vertex"]
    face_part: Int[np.ndarray, " face"]
    along: Float[np.ndarray, " vertex"]
    hair: Float[np.ndarray, " vertex"]
    cloth_m: Float[np.ndarray, "vertex 3"]
    rest_m: Float[np.ndarray, "vertex 3"]

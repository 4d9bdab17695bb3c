"""Load anny's body model quickly and reproducibly."""

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from hamipose.extras import require_packages
from hamipose.synthetic.warp_runtime import initialize_warp

__all__ = ["load_anny", "one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, so that sums of floats have the same order on all machines with the same CPU type."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read_blend_shape(path: str, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
    """Return what ``anny.models.full_model.load_blend_shape`` reads from lines "vertex x y z", in decimeters."""
    import torch

    with gzip.open(path, "rt") as lines:  # some files are empty
        rows = np.fromstring(lines.read(), sep=" ").reshape(-1, 4)
    offsets = torch.zeros(vertices_count, 3, dtype=dtype)
    offsets[torch.from_numpy(rows[:, 0]).long()] = torch.from_numpy(rows[:, 1:]).to(dtype)
    return world_transformation.apply(offsets)


def load_anny() -> Any:
    """Return anny with all shape parameters in single precision; print a message if its cache must be built first."""
    require_packages("rendering people", "anny", "warp")
    initialize_warp()
    import anny
    from anny.models import full_model
    from anny.paths import get_anny_cache_path
    from anny.skinning import warp_skinning

    if not any(get_anny_cache_path().rglob("build_model_data_*")):
        print(
            "Building the body model's cache; this happens once and takes about half a minute.",
            file=sys.stderr,
            flush=True,
        )
    # anny declares its kernel again in each call, which takes longer than the kernel.
    warp_skinning.get_kernel = lru_cache(maxsize=None)(warp_skinning.get_kernel)
    # anny creates one tensor for each of seven million lines, which takes four fifths of the time to build its cache.
    original, full_model.load_blend_shape = full_model.load_blend_shape, _read_blend_shape
    try:
        return anny.Anny(phenotypes="all").float().eval()
    finally:
        full_model.load_blend_shape = original

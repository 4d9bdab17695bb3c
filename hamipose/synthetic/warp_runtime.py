"""Initialization of the library warp without its console output, and compilation of its kernels."""

import os
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = ["compile_kernels", "initialize_warp"]


@lru_cache(maxsize=1)
def initialize_warp() -> Any:
    """Return the initialized module `warp`. Its greeting and its note about a missing GPU are suppressed.

    Raises:
        UserError: warp is not installed, or its folder for compiled kernels is not writable.
    """
    require_packages("rendering", "warp")
    import warp

    warp.config.log_level = warp.LOG_ERROR
    sys.stderr.flush()
    # The note is printed by native code, so the standard error of the process itself is redirected.
    saved, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        warp.init()
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}: expected a folder that warp can write its compiled kernels to; "
            "name one in the environment variable WARP_CACHE_PATH"
        ) from error
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)
    return warp


def compile_kernels(*modules: ModuleType, label: str, device: str) -> None:
    """Compile and load the kernels of some modules; prints a line if they are not in the cache.

    Args:
        modules: modules that define kernels.
        label: description of the kernels in the printed line.
        device: name of the device in warp.
    """
    wp = initialize_warp()
    folder = wp.config.kernel_cache_dir
    cached = os.listdir(folder) if folder and os.path.isdir(folder) else []
    if not all(any(name.startswith(f"wp_{module.__name__}_") for name in cached) for module in modules):
        print(f"Compiling {label}; this happens once and takes some seconds.", file=sys.stderr, flush=True)
    for module in modules:
        wp.load_module(module, device=device)

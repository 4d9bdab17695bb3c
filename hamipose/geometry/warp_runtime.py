"""warp, initialized without its chatter, and its kernels, compiled with a word to whoever waits for them."""

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
    """The module `warp`, ready. Its greeting and its remark that a machine has no GPU are kept off the terminal.

    Raises:
        UserError: its folder for compiled kernels cannot be written to.
    """
    require_packages("rendering", "warp")
    import warp

    warp.config.log_level = warp.LOG_ERROR
    sys.stderr.flush()
    # The remark comes from native code, so the process's standard error itself is turned away for a moment.
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        warp.init()
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}: expected a folder that warp can write its compiled kernels to; "
            "name one in the environment variable WARP_CACHE_PATH"
        ) from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return warp


def compile_kernels(*modules: ModuleType, what: str, device: str) -> None:
    """Make warp's kernels of some modules ready; says so where that takes a while, once on a machine.

    Args:
        modules: that define kernels.
        what: they are, to whoever waits.
        device: warp's name of it.
    """
    wp = initialize_warp()
    folder = wp.config.kernel_cache_dir
    there = os.listdir(folder) if folder and os.path.isdir(folder) else []
    if not all(any(name.startswith(f"wp_{module.__name__}_") for name in there) for module in modules):
        print(f"Compiling {what}; this happens once and takes some seconds.", file=sys.stderr, flush=True)
    for module in modules:
        wp.load_module(module, device=device)

"""warp, initialised without its chatter."""

import os
import sys
from functools import lru_cache
from typing import Any

__all__ = ["start_warp"]


@lru_cache(maxsize=1)
def start_warp() -> Any:
    """The module `warp`, ready. Its greeting and its remark that a machine has no GPU are kept off the terminal."""
    import warp

    warp.config.log_level = warp.LOG_ERROR
    sys.stderr.flush()
    # The remark comes from native code, so the process's standard error itself is turned away for a moment.
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        warp.init()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return warp

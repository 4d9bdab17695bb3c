"""2D pose estimation that adapts to unlabeled footage (HamiPose, CVPR 2026).

The names below are stable. Each is imported on first use, so that importing the package is fast.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from hamipose.version import __version__

if TYPE_CHECKING:
    from hamipose.errors import UserError
    from hamipose.gating import KeypointGate, UnifiedGate
    from hamipose.inference.loading import load
    from hamipose.metrics import PCK
    from hamipose.optim import Hamiltonian
    from hamipose.skeletons import BODY16, COCO17, HAND21

# albumentations requests the number of its newest version at import, which blocks on machines without network access.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__all__ = [
    "BODY16",
    "COCO17",
    "HAND21",
    "PCK",
    "Hamiltonian",
    "KeypointGate",
    "UnifiedGate",
    "UserError",
    "__version__",
    "load",
]

#: The module of each name.
_MODULES = {
    "BODY16": "hamipose.skeletons",
    "COCO17": "hamipose.skeletons",
    "HAND21": "hamipose.skeletons",
    "Hamiltonian": "hamipose.optim",
    "KeypointGate": "hamipose.gating",
    "PCK": "hamipose.metrics",
    "UnifiedGate": "hamipose.gating",
    "UserError": "hamipose.errors",
    "load": "hamipose.inference.loading",
}


def __getattr__(name: str) -> Any:
    """Import a stable name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hamipose' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the stable names, besides the submodules imported so far."""
    return sorted({*globals(), *__all__})

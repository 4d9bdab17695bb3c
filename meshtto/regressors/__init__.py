"""Networks that predict a body's pose, shape and camera from a crop."""

from hamipose.extras import require_packages

require_packages("meshtto", "roma")

from meshtto.regressors.head import Estimate, IterativeHead, rotations_from_6d  # noqa: E402
from meshtto.regressors.network import CLIFF, HMR, Lifter, Regressor  # noqa: E402
from meshtto.regressors.published import load_published  # noqa: E402

__all__ = [
    "CLIFF",
    "HMR",
    "Estimate",
    "IterativeHead",
    "Lifter",
    "Regressor",
    "load_published",
    "rotations_from_6d",
]

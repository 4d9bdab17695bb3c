"""Networks that predict a body's pose, shape and camera from a crop."""

from meshtto.regressors.head import Estimate, IterativeHead, rotations_from_6d
from meshtto.regressors.network import CLIFF, HMR, Regressor
from meshtto.regressors.published import load_published

__all__ = ["CLIFF", "HMR", "Estimate", "IterativeHead", "Regressor", "load_published", "rotations_from_6d"]

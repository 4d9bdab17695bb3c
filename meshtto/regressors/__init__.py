"""Networks that look at a crop and say how the body in it is posed, shaped and seen."""

from meshtto.regressors.head import Estimate, IterativeHead, rotations_from_6d
from meshtto.regressors.network import CLIFF, HMR, Regressor
from meshtto.regressors.published import load_published

__all__ = ["CLIFF", "HMR", "Estimate", "IterativeHead", "Regressor", "load_published", "rotations_from_6d"]

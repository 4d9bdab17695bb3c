"""Regressors from options."""

import torch

from meshtto.body import mean_parameters
from meshtto.methods.bodies import Bodies
from meshtto.methods.options import RegressorOptions
from meshtto.regressors import CLIFF, HMR, Regressor, load_published

__all__ = ["build_regressor"]

_KINDS = {"cliff": CLIFF, "hmr": HMR}


def build_regressor(options: RegressorOptions, bodies: Bodies) -> Regressor:
    """The network that options describe, starting from the body's mean parameters."""
    mean = mean_parameters(bodies.of("neutral", torch.device("cpu")))
    regressor = _KINDS[options.kind](
        mean, options.backbone, options.weights, options.iterations, options.dropout, options.width
    )
    if options.published is not None:
        load_published(regressor, options.published)
    return regressor

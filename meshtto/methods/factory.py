"""Regressors from options."""

import torch

from hamipose.errors import InputError
from meshtto.body import mean_parameters
from meshtto.methods.body_cache import Bodies
from meshtto.methods.options import RegressorOptions
from meshtto.regressors import CLIFF, HMR, Regressor, load_published

__all__ = ["build_regressor"]

_KINDS = {"cliff": CLIFF, "hmr": HMR}


def build_regressor(options: RegressorOptions, bodies: Bodies, name: str = "regressor") -> Regressor:
    """Build the network that options describe, starting from the body's mean parameters.

    Args:
        options: of the network.
        bodies: of the run.
        name: of the group of options, for errors.

    Raises:
        InputError: the network cannot be built, or starts from two things.
    """
    if options.published is not None and options.weights != "none":
        raise InputError(
            f"{name} starts from weights ({options.weights}) and published ({options.published}), which holds the "
            "backbone, too; expected one of them"
        )
    mean = mean_parameters(bodies.of("neutral", torch.device("cpu")))
    regressor = _KINDS[options.kind](
        mean, options.backbone, options.weights, options.iterations, options.dropout, options.width
    )
    if options.published is not None:
        load_published(regressor, options.published)
    return regressor

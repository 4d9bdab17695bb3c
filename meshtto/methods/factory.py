"""Build regressors from options."""

import torch

from hamipose.errors import UserError
from meshtto.body import mean_parameters
from meshtto.methods.body_cache import BodyCache
from meshtto.methods.options import RegressorOptions
from meshtto.regressors import CLIFF, HMR, Lifter, Regressor, load_published

__all__ = ["build_regressor"]

_KINDS: dict[str, type[CLIFF] | type[HMR]] = {"cliff": CLIFF, "hmr": HMR, "lifter": Lifter}


def build_regressor(options: RegressorOptions, bodies: BodyCache, name: str = "regressor") -> Regressor:
    """Build the network that options describe, initialized with the body's mean parameters.

    Args:
        options: options of the network.
        bodies: body cache of the run.
        name: name of the option group, for error messages.

    Raises:
        UserError: the network cannot be built, or has two initializations.
    """
    if options.published is not None and options.weights != "none":
        raise UserError(
            f"{name} starts from weights ({options.weights}) and published ({options.published}), which holds the "
            "backbone, too; expected one of them"
        )
    mean = mean_parameters(bodies.get("neutral", torch.device("cpu")))
    regressor = _KINDS[options.kind](
        mean, options.backbone, options.weights, options.iterations, options.dropout, options.width
    )
    if options.published is not None:
        load_published(regressor, options.published)
    return regressor

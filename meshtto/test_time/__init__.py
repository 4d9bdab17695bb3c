r"""The inner step, :math:`w'_j = w - \alpha \nabla_w L(f_w(I_j))` for each image j.

One implementation serves both cases: it runs once inside a training step and up to 14 times at test time. A subclass
of :class:`Weights` holds the weights of all images: :class:`LowRank` (a head of linear layers under gradient descent;
exact, without copies of the weights), :class:`PerImageCopy` (any network; one copy of the weights per image) or
:class:`Shared` (one copy for the batch, as in the paper's reference code). :func:`adapt` runs the steps, which
:class:`Phase` describes.
"""

from meshtto.test_time.loop import AdaptationResult, adapt
from meshtto.test_time.low_rank import LowRank
from meshtto.test_time.per_image_copy import PerImageCopy
from meshtto.test_time.schedule import Phase, make_weights
from meshtto.test_time.shared import Shared
from meshtto.test_time.split_linear import SplitLinear
from meshtto.test_time.update_rules import SGD, Adam, UpdateRule
from meshtto.test_time.weights import Weights

__all__ = [
    "SGD",
    "Adam",
    "AdaptationResult",
    "LowRank",
    "PerImageCopy",
    "Phase",
    "Shared",
    "SplitLinear",
    "UpdateRule",
    "Weights",
    "adapt",
    "make_weights",
]

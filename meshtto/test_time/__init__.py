r"""The inner step, :math:`w'_j = w - \alpha \nabla_w L(f_w(I_j))` for each image j: one implementation, run once
inside a training step and up to 14 times at test time.

How the weights of many images are held is an object: :class:`LowRank` (a head of linear layers under gradient descent,
exact without a copy of a weight), :class:`Stacked` (anything, a copy of the weights for each image), :class:`Shared`
(one copy for the batch: what the reference code of the paper does). :func:`adapt` moves them; :class:`Phase` says how.
"""

from meshtto.test_time.loop import Adapted, adapt
from meshtto.test_time.low_rank import LowRank
from meshtto.test_time.per_image_copy import Stacked
from meshtto.test_time.schedule import Phase, begin
from meshtto.test_time.shared import Shared
from meshtto.test_time.split_linear import HeldLinear
from meshtto.test_time.update_rules import SGD, Adam, Rule
from meshtto.test_time.weights import Weights

__all__ = [
    "SGD",
    "Adam",
    "Adapted",
    "HeldLinear",
    "LowRank",
    "Phase",
    "Rule",
    "Shared",
    "Stacked",
    "Weights",
    "adapt",
    "begin",
]

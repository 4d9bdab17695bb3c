"""HMR and CLIFF as they are: one pass, supervised."""

from lightning.pytorch.cli import OptimizerCallable

from meshtto.losses import LossWeights
from meshtto.methods.base import MeshMethod
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions

__all__ = ["Regression"]


class Regression(MeshMethod):
    """Trains on labels; at test time it answers at once, unless `test_time` has phases.

    Args:
        optimizer: makes the optimizer from parameters.
        regressor: the network.
        training: how it is trained.
        loss: weights of the loss's terms.
        test_time: how a body is fitted to its own picture: not at all, by default.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions = RegressorOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        loss: LossWeights = LossWeights(),  # noqa: B008
        test_time: TestTimeOptions = TestTimeOptions(phases=[]),  # noqa: B008
    ):
        super().__init__(optimizer, regressor, training, loss, test_time)

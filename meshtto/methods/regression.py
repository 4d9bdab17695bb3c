"""Plain regression: HMR and CLIFF with supervised training and a single forward pass."""

from lightning.pytorch.cli import OptimizerCallable

from meshtto.losses import LossWeights
from meshtto.methods.base import MeshMethod
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions

__all__ = ["Regression"]


class Regression(MeshMethod):
    """Train on labels; predict in a single forward pass unless `test_time` has phases.

    Args:
        optimizer: creates the optimizer from parameters.
        regressor: options of the network.
        training: options of training.
        loss: weights of the loss terms.
        test_time: options of test-time adaptation; default: none.
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

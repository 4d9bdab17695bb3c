r"""Test-time optimization inside training, one network (NeurIPS 2024, eq. 6–7; MAML with a separate inner loss)."""

from functools import partial

from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from meshtto.camera import crop_box
from meshtto.losses import LossWeights, Target
from meshtto.methods.base import MeshMethod
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions
from meshtto.methods.phases import adapt_regressor, check_phases
from meshtto.methods.recover import LastBody
from meshtto.methods.targets import crop_size, target_from_evidence
from meshtto.regressors import Estimate
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["Meta", "adapted_prediction"]

_ONE_STEP = Phase(steps=1, pseudo_mesh=False)
_FOURTEEN = TestTimeOptions(phases=[Phase(steps=14, pseudo_mesh=False)])


def adapted_prediction(
    method: MeshMethod, batch: MeshBatch, inner: Phase, target: Target, second_order: bool
) -> BodyPrediction:
    r"""Predict with :math:`w'_j = w - \alpha \nabla_w L(f_w(I_j))`, differentiably.

    An image whose inner step diverges is used without the step, and counted.

    Args:
        method: the method whose regressor is adapted.
        batch: the images.
        inner: the inner steps.
        target: the target of L.
        second_order: differentiate through the steps.
    """
    box, size = crop_box(batch), crop_size(batch)
    seen, joints = (LastBody(partial(method.complete, box=box, size=size, vertices=v)) for v in (True, False))

    def loss(phase: Phase, estimate: Estimate) -> Float[Tensor, " batch"]:
        return method.value((joints if target.mesh is None else seen)(estimate), target, batch, phase)

    inputs, box_features = method.regressor.inputs(batch), method.regressor.box_features(box)
    adapted = adapt_regressor(method.regressor, inputs, box_features, [inner], loss, second_order)
    method.count_diverged(adapted.diverged)
    return seen(adapted.output)


class Meta(MeshMethod):
    r"""Train the regressor to be accurate after adaptation to 2D evidence.

    .. math:: \min_w \sum_j L_{train}(f_{w'_j}(I_j)), \qquad w'_j = w - \alpha \nabla_w L_{2D}(f_w(I_j), \hat J_j)

    The backbone runs once per training step, with the batch's statistics; inner and outer pass share its features.
    Dropout is drawn anew in each pass. With scope "all", BatchNorm uses its running statistics and does not update
    them.

    Args:
        optimizer: creates the optimizer from parameters.
        regressor: options of the network.
        training: options of training.
        loss: weights of the loss terms, for the inner and outer loss; the factor `outer` only applies to the outer.
        inner: the inner step.
        second_order: differentiate through the inner step; the paper's algorithm is of first order.
        test_time: options of test-time adaptation.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions = RegressorOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        loss: LossWeights = LossWeights(),  # noqa: B008
        inner: Phase = _ONE_STEP,
        second_order: bool = False,
        test_time: TestTimeOptions = _FOURTEEN,
    ):
        super().__init__(optimizer, regressor, training, loss, test_time)
        check_phases([inner])
        self.inner = inner
        self.second_order = second_order

    def objective(self, batch: MeshBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the loss against labels after the inner step."""
        prediction = adapted_prediction(self, batch, self.inner, target_from_evidence(batch), self.second_order)
        return {"loss": self.supervised(prediction, batch)}

r"""Test-time optimisation inside training, one network (NeurIPS 2024, eq. 6–7; MAML with an inner loss of its own)."""

from functools import partial

from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from hamipose.models.preprocess import normalise
from meshtto.losses import LossWeights, Target
from meshtto.methods.base import MeshMethod
from meshtto.methods.optimize import check_phases, optimise
from meshtto.methods.options import RegressorOptions, TestTimeOptions, TrainingOptions
from meshtto.methods.recover import Once
from meshtto.methods.targets import box_of, evidence, size_of
from meshtto.regressors import Estimate
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["Meta", "adapted_prediction"]

_ONE_STEP = Phase(steps=1, pseudo_mesh=False)
_FOURTEEN = TestTimeOptions(phases=[Phase(steps=14, pseudo_mesh=False)])


def adapted_prediction(
    method: MeshMethod, batch: MeshBatch, inner: Phase, target: Target, second_order: bool
) -> BodyPrediction:
    r"""What the regressor says under :math:`w'_j = w - \alpha \nabla_w L(f_w(I_j))`, a way for gradients left open.

    Args:
        method: whose regressor is adapted.
        batch: images.
        inner: the steps.
        target: what L compares with.
        second_order: let derivatives pass through the steps.

    An image whose inner step diverges is learnt from as it is without the step, and counted.
    """
    box, size = box_of(batch), size_of(batch)
    seen, joints = (Once(partial(method.complete, box=box, size=size, vertices=v)) for v in (True, False))

    def loss(phase: Phase, estimate: Estimate) -> Float[Tensor, " batch"]:
        return method.value((joints if target.mesh is None else seen)(estimate), target, batch, phase)

    images, told = normalise(batch.image), method.regressor.told(box)
    adapted = optimise(method.regressor, images, told, [inner], loss, second_order)
    method.count_diverged(adapted.diverged)
    return seen(adapted.output)


class Meta(MeshMethod):
    r"""The regressor is trained to be right after adaptation to 2D evidence.

    .. math:: \min_w \sum_j L_{train}(f_{w'_j}(I_j)), \qquad w'_j = w - \alpha \nabla_w L_{2D}(f_w(I_j), \hat J_j)

    The backbone runs once a step, with the batch's statistics; inner and outer pass share its features. Dropout draws
    anew in each pass. With scope "all" BatchNorm uses, and keeps, its running statistics.

    Args:
        optimizer: makes the optimizer from parameters.
        regressor: the network.
        training: how it is trained.
        loss: weights of the loss's terms, inside and outside; the factor `outer` is for the outside alone.
        inner: the inner step.
        second_order: let derivatives pass through the inner step; the paper's algorithm is of first order.
        test_time: how a body is fitted to its own picture.
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
        """The loss against labels, after the inner step."""
        prediction = adapted_prediction(self, batch, self.inner, evidence(batch), self.second_order)
        return {"loss": self.supervised(prediction, batch)}

r"""Test-time optimization inside training with dual networks (NeurIPS 2024, eq. 8–9, algorithm 1)."""

from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from meshtto.losses import LossWeights
from meshtto.methods.base import MeshMethod
from meshtto.methods.factory import build_regressor
from meshtto.methods.meta import adapted_prediction
from meshtto.methods.options import (
    AuxiliaryOptions,
    RegressorOptions,
    TestTimeOptions,
    TrainingOptions,
    network_to_dict,
)
from meshtto.methods.phases import check_phases
from meshtto.methods.recover import detach_prediction
from meshtto.methods.targets import target_from_evidence
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["Dual"]

_ONE_STEP = Phase(steps=1)


class Dual(MeshMethod):
    r"""The inner step also uses the mesh predicted by a second, auxiliary network.

    .. math::
        \min_{w,u} \sum_j L(f_{w'_j}(I_j), \hat\Theta_j, \hat J_j) + L(f_u(I_j), \hat\Theta_j, \hat J_j), \qquad
        w'_j = w - \alpha \nabla_w L(f_w(I_j), f_u(I_j), \hat J_j)

    The auxiliary network f_u learns from labels. At test time it is frozen, and all steps use its one prediction as a
    pseudo-mesh. In training, the pseudo-mesh is the same prediction that its own loss is computed from, including
    dropout. For second order, a gradient also reaches it through the inner step. Backbones, BatchNorm and dropout are
    as in :class:`~meshtto.methods.Meta`.

    Args:
        optimizer: creates the one optimizer of both networks; ``training.lr_factors`` distinguishes them.
        regressor: options of the network f_w.
        auxiliary: options of the network f_u; null values are taken from the regressor. Kind and body must be the
            regressor's. It should be an independent network, because a copy of f_w only says "stay where you are": see
            its options.
        training: options of training.
        loss: weights of the loss terms, for the inner and outer loss; the factor `outer` only applies to the outer.
        inner: the inner step; without `pseudo_mesh` it is that of :class:`~meshtto.methods.Meta`, on 2D evidence only.
        second_order: differentiate through the inner step; the paper's algorithm is of first order.
        auxiliary_loss: whether to add L², the auxiliary network's own loss. The released code omits it: for first order
            the weights then stay as initialized, and only the BatchNorm statistics follow the batches.
        test_time: options of test-time adaptation.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions = RegressorOptions(),  # noqa: B008  frozen
        auxiliary: AuxiliaryOptions | None = AuxiliaryOptions(),  # noqa: B008
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        loss: LossWeights = LossWeights(),  # noqa: B008
        inner: Phase = _ONE_STEP,
        second_order: bool = False,
        auxiliary_loss: bool = True,
        test_time: TestTimeOptions = TestTimeOptions(),  # noqa: B008
    ):
        super().__init__(optimizer, regressor, training, loss, test_time)
        check_phases([inner])
        auxiliary = auxiliary or AuxiliaryOptions()
        self.auxiliary_options = auxiliary
        network = auxiliary.resolve(regressor)
        self.auxiliary = build_regressor(network, self.bodies, "auxiliary")
        self.save_hyperparameters({"auxiliary": network_to_dict(network)})  # in addition to those of all methods
        self._start |= {
            "auxiliary.weights": network.weights,
            "auxiliary.published": network.published,
            "auxiliary.init_from": auxiliary.init_from,
        }
        self.inner = inner
        self.second_order = second_order
        self.auxiliary_loss = auxiliary_loss
        if not auxiliary_loss and not (second_order and inner.pseudo_mesh and inner.steps):
            # No gradient reaches it, and DDP would wait for one.
            self.auxiliary.requires_grad_(False)

    def trainable_parts(self) -> nn.ModuleDict:
        """Return both networks."""
        return nn.ModuleDict({"regressor": self.regressor, "auxiliary": self.auxiliary})

    def pseudo(self, batch: MeshBatch) -> BodyPrediction:
        """Predict with the auxiliary network."""
        return self.predict_with(self.auxiliary, batch)

    def objective(self, batch: MeshBatch) -> dict[str, Float[Tensor, ""]]:
        """Return L¹ after the inner step, and L²."""
        pseudo = self.pseudo(batch)
        mesh = pseudo if self.second_order else detach_prediction(pseudo)
        target = target_from_evidence(batch, mesh if self.inner.pseudo_mesh else None, masked=self.inner.masked)
        prediction = adapted_prediction(self, batch, self.inner, target, self.second_order)
        truth = self.label_target(batch)
        values = {"loss": self.supervised(prediction, batch, truth)}
        if self.auxiliary_loss:
            values["auxiliary"] = self.supervised(pseudo, batch, truth)
        return values

r"""Test-time optimisation inside training, dual networks (NeurIPS 2024, eq. 8–9, algorithm 1): the paper's method."""

from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from meshtto.losses import LossWeights
from meshtto.methods.base import MeshMethod
from meshtto.methods.factory import build_regressor
from meshtto.methods.meta import adapted_prediction
from meshtto.methods.optimize import check_phases
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, TestTimeOptions, TrainingOptions, plain_network
from meshtto.methods.recover import detached
from meshtto.methods.targets import evidence
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch

__all__ = ["Dual"]

_ONE_STEP = Phase(steps=1)


class Dual(MeshMethod):
    r"""A second network of the same kind says what the mesh may be, and the inner step compares with that as well.

    .. math::
        \min_{w,u} \sum_j L(f_{w'_j}(I_j), \hat\Theta_j, \hat J_j) + L(f_u(I_j), \hat\Theta_j, \hat J_j), \qquad
        w'_j = w - \alpha \nabla_w L(f_w(I_j), f_u(I_j), \hat J_j)

    The auxiliary network f_u learns from labels; at test time it is frozen, and its one answer is what all steps hold
    on to. In training that answer is the very one that its own loss is taken of, dropout included. By second order a
    gradient also reaches it through the inner step. Backbones, BatchNorm and dropout: as in
    :class:`~meshtto.methods.Meta`.

    Args:
        optimizer: makes the one optimizer of both networks; ``training.lr_factors`` tells them apart.
        regressor: the network f_w.
        auxiliary: the network f_u; as the regressor where null. Its kind and body must be the regressor's. It
            should be a network of its own, for a copy of f_w says no more than "stay where you are": see its options.
        training: how they are trained.
        loss: weights of the loss's terms, inside and outside; the factor `outer` is for the outside alone.
        inner: the inner step; without `pseudo_mesh` it is :class:`~meshtto.methods.Meta`'s, on 2D evidence alone.
        second_order: let derivatives pass through the inner step; the paper's algorithm is of first order.
        auxiliary_loss: L², the auxiliary network's own loss. The released code goes without: by first order the weights
            then stay what they began as, and only the statistics of BatchNorm follow the batches.
        test_time: how a body is fitted to its own picture.
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
        network = auxiliary.beside(regressor)
        self.auxiliary = build_regressor(network, self.bodies, "auxiliary")
        self.save_hyperparameters({"auxiliary": plain_network(network)})  # beside what all methods save
        self._start |= {
            "auxiliary.weights": network.weights,
            "auxiliary.published": network.published,
            "auxiliary.init_from": auxiliary.init_from,
        }
        self.inner = inner
        self.second_order = second_order
        self.auxiliary_loss = auxiliary_loss
        if not auxiliary_loss and not (second_order and inner.pseudo_mesh and inner.steps):
            # Nothing reaches it, and several processes would wait for its gradients.
            self.auxiliary.requires_grad_(False)

    def trained(self) -> nn.ModuleDict:
        """Both networks."""
        return nn.ModuleDict({"regressor": self.regressor, "auxiliary": self.auxiliary})

    def pseudo(self, batch: MeshBatch) -> BodyPrediction:
        """The auxiliary network's answer."""
        return self.predict_with(self.auxiliary, batch)

    def objective(self, batch: MeshBatch) -> dict[str, Float[Tensor, ""]]:
        """L¹ after the inner step, and L²."""
        pseudo = self.pseudo(batch)
        mesh = pseudo if self.second_order else detached(pseudo)
        target = evidence(batch, mesh if self.inner.pseudo_mesh else None, masked=self.inner.masked)
        prediction = adapted_prediction(self, batch, self.inner, target, self.second_order)
        truth = self.labelled(batch)
        values = {"loss": self.supervised(prediction, batch, truth)}
        if self.auxiliary_loss:
            values["auxiliary"] = self.supervised(pseudo, batch, truth)
        return values

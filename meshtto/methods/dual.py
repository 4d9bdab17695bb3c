r"""Test-time optimization inside training with dual networks (NeurIPS 2024, eq. 8–9, algorithm 1)."""

import torch
from jaxtyping import Float
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from hamipose.errors import UserError
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
from meshtto.metrics import ErrorCorrelation, joint_targets
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch, PairedBatch

__all__ = ["Dual"]

_ONE_STEP = Phase(steps=1)
#: Correlation of the two networks' errors above which the pseudo-mesh hardly helps.
_TOO_SIMILAR = 0.9


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
        self.has_auxiliary_batches = auxiliary.own_batches
        if auxiliary.own_batches and not auxiliary_loss:
            raise UserError(
                "auxiliary.own_batches is true and auxiliary_loss is false, so that the auxiliary network learns from "
                "no batch; expected one of them otherwise"
            )
        self._warned = False
        if not auxiliary_loss and not (second_order and inner.pseudo_mesh and inner.steps):
            # No gradient reaches it, and DDP would wait for one.
            self.auxiliary.requires_grad_(False)

    def trainable_parts(self) -> nn.ModuleDict:
        """Return both networks."""
        return nn.ModuleDict({"regressor": self.regressor, "auxiliary": self.auxiliary})

    def pseudo(self, batch: MeshBatch) -> BodyPrediction:
        """Predict with the auxiliary network."""
        return self.predict_with(self.auxiliary, batch)

    def objective(self, batch: MeshBatch | PairedBatch) -> dict[str, Float[Tensor, ""]]:
        """Return L¹ after the inner step, and L², of a batch of its own if there is one."""
        own = batch.auxiliary if isinstance(batch, PairedBatch) else None
        batch = batch.regressor if isinstance(batch, PairedBatch) else batch
        pseudo = self.pseudo(batch)
        mesh = pseudo if self.second_order else detach_prediction(pseudo)
        target = target_from_evidence(batch, mesh if self.inner.pseudo_mesh else None, masked=self.inner.masked)
        prediction = adapted_prediction(self, batch, self.inner, target, self.second_order)
        truth = self.label_target(batch)
        values = {"loss": self.supervised(prediction, batch, truth)}
        if own is not None:
            values["auxiliary"] = self.supervised(self.pseudo(own), own)
        elif self.auxiliary_loss:
            values["auxiliary"] = self.supervised(pseudo, batch, truth)
        return values

    # ------------------------------------------------------------------------------------------------ evaluation

    def start_evaluation(self) -> None:
        """Create the scores of all sets, and the correlation of the networks' errors on the validation set."""
        super().start_evaluation()
        with torch.inference_mode(False):
            self._correlation = ErrorCorrelation().to(self.device)

    def evaluate_batch(self, batch: MeshBatch, dataloader_idx: int) -> None:
        """Score a batch, and in training compare the errors of the two networks before adaptation."""
        super().evaluate_batch(batch, dataloader_idx)
        if self.trainer.state.fn != "fit" or self._data.evaluation_names()[dataloader_idx] != "val":
            return
        with torch.no_grad():
            vertices = self.bodies.label_vertices(batch.rotations, batch.shape, batch.gender)
            labeled = self.body.evaluation_joints(vertices)
            target, known = joint_targets(labeled, batch.joints_m, batch.joints_confidence, batch.has_mesh)
            first, second = (self.body.evaluation_joints(p.vertices_m) for p in (self(batch), self.pseudo(batch)))
            self._correlation.update(first, second, target, known & (batch.index >= 0))

    def end_evaluation(self) -> None:
        """Log the scores and, in training, the correlation, with a warning if the networks are too similar."""
        super().end_evaluation()
        if self.trainer.state.fn == "fit":
            correlation = float(self._correlation.compute())
            self.log("val/error_correlation", correlation, sync_dist=False, rank_zero_only=False)
            if correlation > _TOO_SIMILAR and not self.trainer.sanity_checking and not self._warned:
                self._warned = True
                rank_zero_warn(
                    f"the errors of regressor and auxiliary network correlate {correlation:.2f} on validation people: "
                    "the pseudo-mesh repeats the regressor's own errors. Start the auxiliary network from another "
                    "seed, backbone or published model (auxiliary.init_from, .backbone, .published)"
                )
        del self._correlation

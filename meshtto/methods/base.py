"""Base class of all mesh methods: regressor and body, training step, evaluation with adaptation, checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from hamipose.engine.checkpoints import run_position
from hamipose.engine.module import TrainingModule
from hamipose.errors import UserError
from meshtto.body import Body, body_source
from meshtto.camera import Box, crop_box
from meshtto.evaluation.scores import Evaluation
from meshtto.losses import LossWeights, Target, mesh_terms, total
from meshtto.methods.body_cache import BodyCache
from meshtto.methods.checkpoint import check_same_networks, load_networks
from meshtto.methods.factory import build_regressor
from meshtto.methods.grouping import person_bytes, recover_in_groups, split_groups
from meshtto.methods.options import (
    AuxiliaryOptions,
    RegressorOptions,
    TestTimeOptions,
    TrainingOptions,
    dict_of_test_time,
    network_to_dict,
    phase_to_dict,
)
from meshtto.methods.phases import check_phases
from meshtto.methods.recover import clone_inference_tensors, pass_bytes, recover
from meshtto.methods.targets import complete, crop_size, joint_indices, target_from_labels
from meshtto.metrics import Protocol
from meshtto.regressors import Estimate, Regressor
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch, PairedBatch, Recovery

__all__ = ["MeshMethod"]


class MeshMethod(TrainingModule):
    """Base class of all mesh methods: a body regressor, its training, and its adaptation at test time.

    A method overrides :meth:`objective`, the terms of the training loss.

    Args:
        optimizer: creates the optimizer from parameters.
        regressor: options of the network.
        training: options of training.
        loss: weights of the loss terms.
        test_time: options of test-time adaptation.
    """

    training_options: TrainingOptions
    progress_bar: ClassVar[dict[str, str]] = {"loss": "loss", "auxiliary": "auxiliary"}

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions,
        training: TrainingOptions,
        loss: LossWeights,
        test_time: TestTimeOptions,
    ):
        start = {
            "training.init_from": training.init_from,
            "regressor.weights": regressor.weights,
            "regressor.published": regressor.published,
        }
        super().__init__(optimizer, training, start)
        check_phases(test_time.phases)
        self.options = regressor
        self.auxiliary_options: AuxiliaryOptions | None = None
        self.bodies = BodyCache(regressor.body)
        self.regressor = build_regressor(regressor, self.bodies)
        self.loss_weights = loss
        self.test_time = test_time
        joint_indices(test_time.ignored_joints)  # raises on unknown names
        # What is needed to rebuild the network; a checkpoint's copy never overrides a config.
        self.save_hyperparameters(
            {
                "method": type(self).__name__,
                "regressor": network_to_dict(regressor),
                "test_time": dict_of_test_time(test_time),
                "loss": asdict(loss),
                "crop": None,  # height and width, known once the data module is
            }
        )
        self._person_bytes: dict[Any, int] = {}
        self._logged: dict[str, Tensor] = {}
        self._diverged = torch.zeros(())
        self._since = 0
        self.results: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------------ predictions

    @property
    def body(self) -> Body:
        """Return the body of predictions, on this module's device."""
        return self.bodies.get("neutral", self.device)

    def complete(self, estimate: Estimate, box: Box, size: tuple[int, int], vertices: bool = True) -> BodyPrediction:
        """Return the body of an estimate and its projection into the crop; see :func:`complete`."""
        return complete(estimate, self.body, self.regressor.camera, box, size, vertices)

    def predict_with(self, network: Regressor, batch: MeshBatch, vertices: bool = True) -> BodyPrediction:
        """Predict with a network, without adaptation; `vertices` as in :func:`complete`."""
        features = network.features(network.inputs(batch))
        with torch.autocast(batch.image.device.type, enabled=False):
            estimate = network.head(features.float(), network.box_features(crop_box(batch)))
        return self.complete(estimate, crop_box(batch), crop_size(batch), vertices)

    def forward(self, batch: MeshBatch) -> BodyPrediction:
        """Predict with the regressor, without adaptation."""
        return self.predict_with(self.regressor, batch)

    def pseudo(self, batch: MeshBatch) -> BodyPrediction | None:
        """Return another network's mesh as a pseudo-label for test-time adaptation, or None."""
        return None

    def value(
        self, prediction: BodyPrediction, target: Target, batch: MeshBatch, phase: Phase | None = None
    ) -> Float[Tensor, " batch"]:
        """Return the loss of each image without its outer factor, with the weights of the phase if one is given."""
        weights = self.loss_weights if phase is None else phase.weights(self.loss_weights)
        return total(mesh_terms(prediction, target, crop_size(batch), weights), weights)

    def recover(
        self, batch: MeshBatch, phases: list[Phase] | None = None, watch: Any = None, tolerance: Any = "option"
    ) -> Recovery:
        """Adapt to each image of a batch and predict. The networks must be in eval mode and are not modified.

        People with their own weights are adapted in groups, see ``test_time.memory_gib``; the graph of a backbone that
        is not adapted is not recorded.

        Args:
            batch: crops, boxes and 2D evidence; masked phases also use which labels exist.
            phases: the phases of adaptation; default: those of the option `test_time`.
            watch: called with the number of steps so far and the prediction, from 0 on.
            tolerance: default: that of the option `test_time`.
        """
        phases = self.test_time.phases if phases is None else phases
        options = self.test_time if tolerance == "option" else replace(self.test_time, tolerance=tolerance)
        with torch.inference_mode(False), torch.no_grad():
            batch = clone_inference_tensors(batch)
            return recover_in_groups(
                batch, self._groups(batch, phases), lambda part, show: recover(self, part, phases, options, show), watch
            )

    def _groups(self, batch: MeshBatch, phases: Sequence[Phase]) -> list[slice]:
        """Split people into groups that are adapted together; one group if they share weights or nothing is adapted."""
        limit, people = self.test_time.memory_gib, len(batch.index)
        steps = [phase for phase in phases if phase.steps]
        if limit is None or people < 2 or not steps or any(phase.inner == "shared" for phase in steps):
            return [slice(0, people)]
        key = (crop_size(batch), repr([phase_to_dict(phase) for phase in steps]))
        if key not in self._person_bytes:
            self._person_bytes[key] = person_bytes(self.regressor, steps, partial(pass_bytes, self, batch))
        return list(split_groups(people, self._person_bytes[key], limit * 2**30))

    # ------------------------------------------------------------------------------------------------ a step

    def label_target(self, batch: MeshBatch) -> Target:
        """Return the training target: labels posed by the body they belong to, if vertices count."""
        if not self.loss_weights.vertices:
            return target_from_labels(batch, batch.shape.new_zeros(len(batch.shape), 0, 3))
        with torch.no_grad():
            return target_from_labels(batch, self.bodies.label_vertices(batch.rotations, batch.shape, batch.gender))

    def supervised(
        self, prediction: BodyPrediction, batch: MeshBatch, target: Target | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean loss against labels with its outer factor; `target` is :meth:`label_target`, if known."""
        target = self.label_target(batch) if target is None else target
        return self.loss_weights.outer * self.value(prediction, target, batch).mean()

    def objective(self, batch: MeshBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the terms of this step's objective; their sum is minimized, and each is logged by its name."""
        prediction = self.predict_with(self.regressor, batch, vertices=self.loss_weights.vertices > 0)
        return {"loss": self.supervised(prediction, batch)}

    def trainable_parts(self) -> nn.ModuleDict:
        """Return the networks that the optimizer updates, by the names that ``training.lr_factors`` uses."""
        return nn.ModuleDict({"regressor": self.regressor})

    def count_diverged(self, diverged: Bool[Tensor, " batch"]) -> None:
        """Count diverged inner steps, logged as train/diverged: images since the last log."""
        self._diverged = self._diverged.to(diverged.device) + diverged.sum()

    def backward_step(self, batch: MeshBatch | PairedBatch) -> tuple[dict[str, Tensor], list[str]]:
        """Back-propagate the sum of the objective's terms."""
        values = self.objective(batch)  # type: ignore[arg-type]  # only methods that ask for pairs get them
        self.manual_backward(torch.stack(list(values.values())).sum())
        self._since += 1
        for name, value in values.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach()
        return {name: value.detach() for name, value in values.items()}, batch.name

    def training_scalars(self) -> dict[str, float]:
        """Return the mean of each term, and the number of diverged inner steps, since the last call."""
        scalars = {f"train/{name}": float(value) / self._since for name, value in self._logged.items()}
        scalars["train/diverged"] = float(self._diverged)
        self._logged, self._since, self._diverged = {}, 0, torch.zeros(())
        return scalars

    # ------------------------------------------------------------------------------------------------ evaluation

    def setup(self, stage: str) -> None:
        """Reject unsupported settings early, and load initial networks if requested."""
        if self.trainer.precision not in ("32-true", "bf16-mixed"):
            raise UserError(
                f"trainer.precision is {self.trainer.precision}; expected 32-true or bf16-mixed: bodies and the inner "
                "step run in single precision, and the loss scaling of 16-mixed would hide gradients from it"
            )
        super().setup(stage)
        if self._data is not None:
            self.hparams["crop"] = list(self._data.size)
        if stage == "fit" and not self.trainer.ckpt_path:
            load_networks(self)

    def protocol(self, phases: list[Phase]) -> Protocol:
        """Return what the scores of an evaluation with these phases depend on."""
        sets = self._data.evaluation_sets()
        evidence = ", ".join(f"{name}: {dataset.evidence}" for name, dataset in sets)
        boxes = ", ".join(f"{name}: {dataset.box_source}" for name, dataset in sets)
        if not any(phase.steps for phase in phases):
            evidence = "not used"
        genders = Protocol.gender if body_source(self.options.body).gendered else "neutral"
        return Protocol(body=self.options.body.rpartition("/")[2], gender=genders, evidence=evidence, boxes=boxes)

    @property
    def _phases(self) -> list[Phase]:
        """Return the phases of adaptation in the current evaluation."""
        fitting = self.trainer.state.fn == "fit"
        return self.test_time.phases if self.test_time.in_validation or not fitting else []

    def start_evaluation(self) -> None:
        """Create the scores of all sets."""
        super().start_evaluation()
        names, steps = self._data.evaluation_names(), sum(phase.steps for phase in self._phases)
        self._evaluation = Evaluation(names, steps, self.device)

    def evaluate_batch(self, batch: MeshBatch, dataloader_idx: int) -> None:
        """Score a batch after each step of adaptation."""
        with torch.no_grad():
            vertices = self.bodies.label_vertices(batch.rotations, batch.shape, batch.gender)
        self._evaluation.add(batch, dataloader_idx, vertices, self.body, partial(self.recover, batch, self._phases))

    def end_evaluation(self) -> None:
        """Log the scores of all sets, and keep them in `results`."""
        evaluation = self._evaluation
        results = {"protocol": self.protocol(self._phases).as_dict(), "sets": evaluation.results()}
        if not self.trainer.sanity_checking:
            self.results = results
        for name, scores in evaluation.scores().items():
            self.log_dict(scores, sync_dist=False, rank_zero_only=False)
            if name == "val":
                self.log("pa_mpjpe", scores["val/pa_mpjpe"], prog_bar=True, logger=False)
        self._log_position()
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            for logger in self.loggers:  # directly: Lightning's table of scores would grow with every step
                logger.log_metrics(evaluation.after_steps(self.results["sets"]), step=run_position(self.trainer).step)
        del self._evaluation

    def predict_step(self, batch: MeshBatch, batch_idx: int) -> tuple[MeshBatch, Recovery]:
        """Return the batch and its recovered bodies."""
        return batch, self.recover(batch)

    # ------------------------------------------------------------------------------------------------ checkpoints

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reject checkpoints of other networks or, in `fit`, of other options."""
        check_same_networks(checkpoint, self)
        super().on_load_checkpoint(checkpoint)

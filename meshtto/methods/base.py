"""What all methods have in common: regressor, body, manual optimization, evaluation with adaptation, exact
checkpoints.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hamipose.errors import InputError
from hamipose.models.preprocess import normalise
from hamipose.running.backward import BackwardAsForward
from hamipose.running.buffers import share_buffers
from hamipose.running.guard import FiniteGuard, check_weights
from hamipose.running.optimization import new_optimizer, total_steps
from hamipose.running.random_state import get_random_state, set_random_state
from hamipose.running.resume import optimizer_options, resume, run_record
from hamipose.running.schedule import warmup_cosine
from hamipose.running.sync_batchnorm import keep_activations
from hamipose.running.trained import Trained, trained
from meshtto.body import Body
from meshtto.camera import Box
from meshtto.evaluation.scores import Evaluation
from meshtto.losses import LossWeights, Target, mesh_terms, total
from meshtto.methods.body_cache import Bodies
from meshtto.methods.checkpoint import check_same_networks, load_networks
from meshtto.methods.factory import build_regressor
from meshtto.methods.grouping import bytes_of_a_person, groups, in_groups
from meshtto.methods.optimize import check_phases
from meshtto.methods.options import (
    AuxiliaryOptions,
    RegressorOptions,
    TestTimeOptions,
    TrainingOptions,
    plain,
    plain_network,
    plain_phase,
)
from meshtto.methods.recover import out_of_inference, pass_bytes, recover
from meshtto.methods.targets import box_of, complete, joint_positions, labels, size_of
from meshtto.metrics import Protocol
from meshtto.regressors import Estimate, Regressor
from meshtto.test_time import Phase
from meshtto.types import BodyPrediction, MeshBatch, Recovery

__all__ = ["MeshMethod"]


class MeshMethod(BackwardAsForward):
    """A regressor, how it is trained, and how it is adapted at test time; a method says what a step descends on.

    The second level of inheritance below Lightning's class has this reason: Lightning calls hooks by their names on the
    module itself, so what the methods share cannot be an object beside it.

    Args:
        optimizer: makes the one optimizer from parameters.
        regressor: the network.
        training: how it is trained.
        loss: weights of the loss's terms.
        test_time: how a body is fitted to its own picture.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        regressor: RegressorOptions,
        training: TrainingOptions,
        loss: LossWeights,
        test_time: TestTimeOptions,
    ):
        super().__init__()
        self.automatic_optimization = False
        check_phases(test_time.phases)
        self.options = regressor
        self.auxiliary_options: AuxiliaryOptions | None = None
        self.bodies = Bodies(regressor.body)
        self.regressor = build_regressor(regressor, self.bodies)
        self.make_optimizer = optimizer
        self.training_options = training
        self.loss_weights = loss
        self.test_time = test_time
        joint_positions(test_time.ignored_joints)  # refuses unknown names
        # What is needed to build the network again; the checkpoint's copy never overrides a config.
        self.save_hyperparameters(
            {
                "method": type(self).__name__,
                "regressor": plain_network(regressor),
                "test_time": plain(test_time),
                "loss": asdict(loss),
                "crop": None,  # height and width, known when data are
            }
        )
        self._guard = FiniteGuard()
        self._start = {
            "training.init_from": training.init_from,
            "regressor.weights": regressor.weights,
            "regressor.published": regressor.published,
        }
        self._optimizer_options: dict[str, Any] | None = None
        self._random_state: dict[str, Any] | None = None
        self.loaded: Trained | None = None
        self._person_bytes: dict[Any, int] = {}
        self._logged: dict[str, Tensor] = {}
        self._diverged = torch.zeros(())
        self._since = 0
        self.results: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------------ predictions

    @property
    def body(self) -> Body:
        """The body of predictions, on the device of this module."""
        return self.bodies.of("neutral", self.device)

    def complete(self, estimate: Estimate, box: Box, size: tuple[int, int], vertices: bool = True) -> BodyPrediction:
        """The body that an estimate means, and how the crop shows it; see :func:`complete`."""
        return complete(estimate, self.body, self.regressor.camera, box, size, vertices)

    def predict_with(self, network: Regressor, batch: MeshBatch) -> BodyPrediction:
        """What a network says of a batch, without adaptation."""
        features = network.features(normalise(batch.image))
        with torch.autocast(batch.image.device.type, enabled=False):
            estimate = network.head(features.float(), network.told(box_of(batch)))
        return self.complete(estimate, box_of(batch), size_of(batch))

    def forward(self, batch: MeshBatch) -> BodyPrediction:
        """The regressor's answer, without adaptation."""
        return self.predict_with(self.regressor, batch)

    def pseudo(self, batch: MeshBatch) -> BodyPrediction | None:
        """The mesh that adaptation at test time may hold on to; None where no other network gives one."""
        return None

    def value(
        self, prediction: BodyPrediction, target: Target, batch: MeshBatch, phase: Phase | None = None
    ) -> Float[Tensor, " batch"]:
        """The loss of each image, without its outer factor; in a phase of adaptation with the phase's weights."""
        weights = self.loss_weights if phase is None else phase.weights(self.loss_weights)
        return total(mesh_terms(prediction, target, size_of(batch), weights), weights)

    def recover(
        self, batch: MeshBatch, phases: list[Phase] | None = None, watch: Any = None, tolerance: Any = "option"
    ) -> Recovery:
        """Adapt to each image of a batch and predict. The networks must be in eval mode, and stay as they are.

        People with weights of their own are adapted in groups, see ``test_time.memory_gib``; the graph of a backbone
        that is not moved is not recorded.

        Args:
            batch: crops, their boxes and 2D evidence; of labels only whether they are there, in phases that are masked.
            phases: those of the option `test_time` where None.
            watch: called with the number of steps so far and the prediction, from 0 on.
            tolerance: that of the option `test_time` where not given.
        """
        phases = self.test_time.phases if phases is None else phases
        options = self.test_time if tolerance == "option" else replace(self.test_time, tolerance=tolerance)
        with torch.inference_mode(False), torch.no_grad():
            batch = out_of_inference(batch)
            return in_groups(
                batch, self._groups(batch, phases), lambda part, show: recover(self, part, phases, options, show), watch
            )

    def _groups(self, batch: MeshBatch, phases: Sequence[Phase]) -> list[slice]:
        """Which people are adapted together; all where they share weights, or where nothing is adapted."""
        limit, people = self.test_time.memory_gib, len(batch.index)
        steps = [phase for phase in phases if phase.steps]
        if limit is None or people < 2 or not steps or any(phase.inner == "shared" for phase in steps):
            return [slice(0, people)]
        key = (size_of(batch), repr([plain_phase(phase) for phase in steps]))
        if key not in self._person_bytes:
            self._person_bytes[key] = bytes_of_a_person(self.regressor, steps, partial(pass_bytes, self, batch))
        return list(groups(people, self._person_bytes[key], limit * 2**30))

    # ------------------------------------------------------------------------------------------------ a step

    def labelled(self, batch: MeshBatch) -> Target:
        """What training compares with: labels posed by the body that they belong to, as their joints are."""
        with torch.no_grad():
            return labels(batch, self.bodies.labelled(batch.rotations, batch.shape, batch.gender))

    def supervised(
        self, prediction: BodyPrediction, batch: MeshBatch, target: Target | None = None
    ) -> Float[Tensor, ""]:
        """Mean loss against labels, with its outer factor; `target` is :meth:`labelled` of the batch, if at hand."""
        target = self.labelled(batch) if target is None else target
        return self.loss_weights.outer * self.value(prediction, target, batch).mean()

    def objective(self, batch: MeshBatch) -> dict[str, Float[Tensor, ""]]:
        """What this step descends on: the sum of the values, which are logged by their names."""
        return {"loss": self.supervised(self(batch), batch)}

    def trained(self) -> nn.ModuleDict:
        """The networks that the optimizer moves, by the names that ``training.lr_factors`` uses."""
        return nn.ModuleDict({"regressor": self.regressor})

    def count_diverged(self, diverged: Bool[Tensor, " batch"]) -> None:
        """Take note of inner steps that led astray: logged as train/diverged, images since the last time."""
        self._diverged = self._diverged.to(diverged.device) + diverged.sum()

    def training_step(self, batch: MeshBatch, batch_idx: int) -> None:
        """Gradients, clip, step, schedule."""
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        optimizer.zero_grad()
        values = self.objective(batch)
        self.manual_backward(torch.stack(list(values.values())).sum())
        self._guard.watch(self.global_step, {k: v.detach() for k, v in values.items()}, batch.name)
        logs = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        limit = self.training_options.clip_norm
        norm = None
        if logs or limit is not None:
            norm = nn.utils.clip_grad_norm_(self.trained().parameters(), math.inf if limit is None else limit)
        optimizer.step()
        schedule.step()
        self._since += 1
        for name, value in values.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach()
        if logs:
            self._log_training(norm)

    @torch.no_grad()
    def _log_training(self, norm: Tensor | None) -> None:
        logged = {f"train/{name}": float(value) / self._since for name, value in self._logged.items()}
        logged["train/diverged"] = float(self._diverged)
        self._logged, self._since, self._diverged = {}, 0, torch.zeros(())
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        logged["train/lr"] = float(optimizer.param_groups[0]["lr"])
        if norm is not None:
            logged["train/gradient_norm"] = float(norm)
        if self.trainer.is_global_zero:
            for logger in self.loggers:
                logger.log_metrics(logged, step=self.global_step)
        for name in ("loss", "auxiliary"):
            if f"train/{name}" in logged:
                self.log(name, logged[f"train/{name}"], prog_bar=True, logger=False)

    def _new_optimizer(self) -> Optimizer:
        return new_optimizer(self.trained(), self.training_options.lr_factors, self.make_optimizer)

    def learning_rate(self, step: int, total: float) -> float:
        """Factor of the learning rate: warm-up and cosine over the whole run."""
        options = self.training_options
        return warmup_cosine(step, options.warmup_steps, total, options.final_lr)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule."""
        optimizer = self._new_optimizer()
        self._optimizer_options = optimizer_options(optimizer)
        total = total_steps(self.trainer)
        schedule = LambdaLR(optimizer, lambda step: self.learning_rate(step, total))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    # ------------------------------------------------------------------------------------------------ evaluation

    @property
    def _data(self) -> Any:
        """The data module, or None."""
        return getattr(self.trainer, "datamodule", None)

    def setup(self, stage: str) -> None:
        """Refuse what would fail late, and start from another run's networks if told so."""
        if self.trainer.precision not in ("32-true", "bf16-mixed"):
            raise InputError(
                f"trainer.precision is {self.trainer.precision}; expected 32-true or bf16-mixed, for bodies and the "
                "inner step are of single precision, and loss scaling (16-mixed) would hide gradients from it"
            )
        keep_activations(self.trainer)
        if self._data is not None:
            self.hparams["crop"] = list(self._data.size)
        if stage == "fit" and not self.trainer.ckpt_path:
            load_networks(self)

    def protocol(self, phases: list[Phase]) -> Protocol:
        """What the scores of an evaluation with these phases depend on."""
        sets = self._data.evaluation_sets()
        evidence, boxes = (", ".join(f"{n}: {getattr(d, what)}" for n, d in sets) for what in ("evidence", "boxes"))
        if not any(phase.steps for phase in phases):
            evidence = "not used"
        genders = "neutral" if self.options.body == "builtin" else Protocol.gender
        return Protocol(body=self.options.body.rpartition("/")[2], gender=genders, evidence=evidence, boxes=boxes)

    def _start_evaluation(self, phases: list[Phase]) -> None:
        self._guard.check()
        share_buffers(self)
        names, steps = self._data.evaluation_names(), sum(phase.steps for phase in phases)
        self._evaluation = Evaluation(names, steps, self.device)

    def _evaluate(self, batch: MeshBatch, dataloader_idx: int, phases: list[Phase]) -> None:
        with torch.no_grad():
            vertices = self.bodies.labelled(batch.rotations, batch.shape, batch.gender)
        self._evaluation.add(batch, dataloader_idx, vertices, self.body, partial(self.recover, batch, phases))

    def _end_evaluation(self, phases: list[Phase]) -> None:
        evaluation = self._evaluation
        results = {"protocol": self.protocol(phases).as_dict(), "sets": evaluation.results()}
        if not self.trainer.sanity_checking:
            self.results = results
        for name, scores in evaluation.scores().items():
            self.log_dict(scores, sync_dist=False, rank_zero_only=False)
            if name == "val":
                self.log("pa_mpjpe", scores["val/pa_mpjpe"], prog_bar=True, logger=False)
        if self.trainer.state.fn != "fit":  # where Lightning would log the scores with step 0
            self.log("step", float(trained(self.trainer).step))
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            for logger in self.loggers:  # alone: a table of scores would grow by each step
                logger.log_metrics(evaluation.after_steps(self.results["sets"]), step=trained(self.trainer).step)
        del self._evaluation

    @property
    def _validation_phases(self) -> list[Phase]:
        fitting = self.trainer.state.fn == "fit"
        return self.test_time.phases if self.test_time.in_validation or not fitting else []

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation(self._validation_phases)

    def validation_step(self, batch: MeshBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, dataloader_idx, self._validation_phases)

    def on_validation_epoch_end(self) -> None:
        self._end_evaluation(self._validation_phases)

    def on_test_epoch_start(self) -> None:
        self._start_evaluation(self.test_time.phases)

    def test_step(self, batch: MeshBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, dataloader_idx, self.test_time.phases)

    def on_test_epoch_end(self) -> None:
        self._end_evaluation(self.test_time.phases)

    def predict_step(self, batch: MeshBatch, batch_idx: int) -> tuple[MeshBatch, Recovery]:
        """Recovered bodies."""
        return batch, self.recover(batch)

    # ------------------------------------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Only sound weights are saved, and with them the random state."""
        self._guard.check()
        check_weights(self, self.global_step)
        checkpoint["random_state"] = get_random_state()
        if self._optimizer_options is not None:
            checkpoint["run"] = run_record(self, self._start, self._optimizer_options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint of another kind is refused in one line; the random state waits for the first step."""
        check_same_networks(checkpoint, self)
        trainer = self._trainer
        if trainer is not None and trainer.state.fn == "fit":
            total = total_steps(trainer)
            resume(checkpoint, self, self._start, self._new_optimizer(), lambda step: self.learning_rate(step, total))
        self.loaded = Trained.of(checkpoint)
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        """After resuming: forget what setting up has drawn."""
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

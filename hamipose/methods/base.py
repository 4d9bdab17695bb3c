"""What all methods have in common: network, manual optimization, evaluation, exact checkpoints."""

import math
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hamipose.data.base import get_skeleton
from hamipose.engine.module import BackwardAsForward
from hamipose.engine.distributed import broadcast_buffers
from hamipose.engine.nan_guard import FiniteGuard, check_weights
from hamipose.engine.optimization import new_optimizer, total_steps
from hamipose.engine.checkpoints import get_random_state, set_random_state
from hamipose.engine.resume import optimizer_options, resume, run_record
from hamipose.engine.checkpoints import RunPosition, run_position
from hamipose.engine.optimization import warmup_cosine
from hamipose.engine.distributed import keep_activations
from hamipose.errors import UserError
from hamipose.evaluation.diagnostics import Diagnostics, Objective
from hamipose.evaluation.evaluator import Evaluation
from hamipose.evaluation.prediction_writer import PredictionBatch
from hamipose.geometry.crops import crop_to_image
from hamipose.gating import OpenGate
from hamipose.methods.network_factory import build_network
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.source_statistics import SourceStatistics, about_start, about_statistics
from hamipose.methods.teacher_student import Adaptation, Labelled
from hamipose.methods.validation import (
    check_image_size,
    check_length,
    check_model,
    check_precision,
    check_predictions,
    check_pretraining,
    check_skeletons,
    check_target,
)
from hamipose.models.batchnorm import StatisticsDomain, batchnorm_layers
from hamipose.models.checkpoint import check_skeleton, load_network, saved_encoding
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.mediapipe import BlazePose
from hamipose.types import LabeledBatch, SourceBatch, TrainBatch

__all__ = ["PoseMethod"]


class PoseMethod(BackwardAsForward):
    """A network and how it is trained; a method says what a step descends on.

    The second level of inheritance below Lightning's class has this reason: Lightning calls hooks by their names on the
    module itself, so what the methods share cannot be an object beside it.

    Args:
        network: the pose network.
        optimizer: makes the one optimizer from parameters.
        training: how it is trained.
    """

    adaptation: Adaptation | None
    takes_pretrained = True  # whether `training.init_from` may name a pretrained network of another kind

    def __init__(self, network: NetworkOptions, optimizer: OptimizerCallable, training: TrainingOptions):
        super().__init__()
        self.automatic_optimization = False
        self.adaptation = None
        self.skeleton = get_skeleton(network.skeleton)
        self.network, about, self.pretrained = build_network(network, training)
        if self.pretrained is not None and not self.takes_pretrained:
            raise UserError(
                f"{type(self).__name__} cannot start from a pretrained network ({self.pretrained}): it needs layers or "
                "losses of its own; expected SourceOnly, MeanTeacher, HamiPose, PGDA, SAM, SAGM, GGA or Fishr"
            )
        quantized = training.quantize and self.pretrained is None
        # What is needed to build the network again; the checkpoint's copy never overrides a config.
        self.save_hyperparameters(
            {
                "method": type(self).__name__,
                "skeleton": network.skeleton,
                **about,
                "quantized": quantized,
            }
        )
        self.quantized = quantized  # of the weights at hand: `test` takes a checkpoint's
        # The networks' own running statistics mix the domains; source validation is measured with the source's.
        self.source_statistics = SourceStatistics(self.network)
        self.make_optimizer = optimizer
        self.training_options = training
        self._features = torch.compile(self.network.features) if network.compile else self.network.features
        self._guard = FiniteGuard()
        self._diagnostics = Diagnostics(self.skeleton)
        self._start = {"training.init_from": training.init_from, "network.weights": network.weights}
        self._optimizer_options: dict[str, Any] | None = None
        self._random_state: dict[str, Any] | None = None
        self.loaded: Trained | None = None
        self._evaluation: Evaluation | None = None
        self._head_step: Tensor | None = None

    @property
    def encoding(self) -> Encoding:
        """How labels become heatmaps, and heatmaps keypoints."""
        start = self.network if isinstance(self.network, FinetunableNetwork) else None
        return Encoding(self.training_options.sigma, self.quantized, start)

    # ------------------------------------------------------------------------------------------------ a step

    def objective(self, batch: TrainBatch) -> Objective:
        """What this step descends on: the source losses, weighed against the target's where there is an adaptation."""
        source = self.learn(batch.source)
        if self.adaptation is None or batch.target is None:
            return Objective(source.losses.sum(), source.losses)
        # A pass of its own, so that each domain is normalized with its own statistics.
        features = self._features(normalize(batch.target.student))
        return self.adaptation.objective(
            source,
            self.network.final(features).float(),
            features,
            batch.target,
            progress=self._gate_progress(),
            reduction=self.training_options.reduction,
        )

    def gradients(self, batch: TrainBatch) -> Objective:
        """Leave a step's gradient in the parameters; here, one backward pass of :meth:`objective`.

        A method that needs several passes a step (a perturbed point, a game) does them here, each through
        ``manual_backward``, so that processes stay together.
        """
        objective = self.objective(batch)
        self.manual_backward(objective.loss)
        return objective

    def trained(self) -> nn.ModuleDict:
        """The parts that the optimizer moves, by the names that ``training.lr_factors`` uses."""
        return nn.ModuleDict(dict(self.network.named_children()))

    def start_adaptation(self) -> None:
        """The network has learnt from the source, in this run or in another: what follows it starts from there."""
        if self.adaptation is not None:
            self.adaptation.teacher.reset(self.network)
        self.source_statistics.follow(0.0)

    def statistics_of(self) -> nn.Module:
        """Return what the student's passes go through, whose BatchNorm statistics are kept for the source alone."""
        return self.network

    def source_pass(self) -> AbstractContextManager[None]:
        """Surround a training pass of source images with this, so that the source's statistics are known."""
        return self.source_statistics.student.tracking(self.statistics_of())

    def steps_on_source(self) -> int:
        """Return the number of steps on the source alone, after which adaptation begins."""
        return 0 if self.adaptation is None else self.adaptation.options.pretrain_steps

    def delivered_statistics(self) -> StatisticsDomain:
        """Return which images' BatchNorm statistics the network has that a user gets, as it is now."""
        if self.pretrained is not None:
            return "unknown"  # it keeps its own
        if not self.wants_target(sys.maxsize) or self.global_step <= self.steps_on_source():
            return "source"
        own_batches = self.adaptation is not None and self.adaptation.options.batchnorm == "target"
        return "target" if own_batches else "source and target"

    def _gate_progress(self) -> float:
        """Steps of adaptation as a fraction of the gate's warm-up."""
        assert self.adaptation is not None
        options = self.adaptation.options
        total = total_steps(self.trainer) - options.pretrain_steps
        warmup = options.gate_warmup * total
        return (self.global_step - options.pretrain_steps) / warmup if warmup > 0 else 1.0

    @property
    def _data(self) -> Any:
        """The data module, or None."""
        return getattr(self.trainer, "datamodule", None)

    def wants_target(self, step: int) -> bool:
        """Whether that step uses target images: the data module loads none otherwise."""
        return self.adaptation is not None and step >= self.adaptation.options.pretrain_steps

    def wants_source(self, step: int) -> bool:
        """Whether that step uses source images: a source-free method stops asking for them."""
        return True

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → heatmaps of the network that a user gets: the teacher where there is one."""
        return self.network(images) if self.adaptation is None else self.adaptation.teacher(images)

    def learn(self, batch: SourceBatch) -> Labelled:
        """The source's pass: L_s of each keypoint against encoded labels."""
        with self.source_pass():
            features = self._features(normalize(batch.image))
        heatmaps = self.network.final(features).float()
        truth, visible = self.truth(batch)
        losses = self.network.loss(heatmaps, truth, visible, self.training_options.reduction)
        return Labelled(losses, heatmaps, features)

    def truth(self, batch: SourceBatch) -> tuple[Float[Tensor, "batch keypoint h w"], Float[Tensor, "batch keypoint"]]:
        """Encoded labels, and which of them there are."""
        size = (batch.image.shape[-2], batch.image.shape[-1])
        encoding = self.encoding
        visible = (batch.visibility > 0) & encoding.trainable_keypoints(len(self.skeleton), batch.image.device)
        return encoding.encode(batch.keypoints_px, size, visible), visible.float()

    def training_step(self, batch: TrainBatch, batch_idx: int) -> None:
        """Gradients, clip, step, schedule, teacher."""
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        optimizer.zero_grad()
        objective = self.gradients(batch)
        names = batch.source.name + ([] if batch.target is None else batch.target.name)
        watched = {"loss": objective.loss.detach(), "source loss": objective.source.detach().sum()}
        if objective.target is not None:
            watched["target loss"] = objective.target.detach().sum()
        self._guard.watch(self.global_step, watched, names)
        logs = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        norm = self._clip(measure=logs)
        if self.adaptation is not None:
            self.adaptation.before_step(self.network)
        optimizer.step()
        schedule.step()
        if self.adaptation is not None:
            self._head_step = self.adaptation.after_step(self.network)
            averages = self.adaptation.options.batchnorm == "average"
            decay = self.adaptation.teacher.decay if averages else 0.0
            self.source_statistics.follow(decay)
            if self.global_step == self.adaptation.options.pretrain_steps:
                self.start_adaptation()
        self._diagnostics.add(objective)
        if logs:
            self._log_training(norm)

    def _clip(self, measure: bool) -> Tensor | None:
        """Clip the gradient; its norm, where it was needed."""
        limit = self.training_options.clip_norm
        if limit is None and not measure:
            return None
        return nn.utils.clip_grad_norm_(self.trained().parameters(), math.inf if limit is None else limit)

    @torch.no_grad()
    def _log_training(self, norm: Tensor | None) -> None:
        logged = self._diagnostics.flush()
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        logged["train/lr"] = float(optimizer.param_groups[0]["lr"])
        if norm is not None:
            logged["train/gradient_norm"] = float(norm)
        if self._head_step is not None:
            logged["train/head_step_rms"] = float(self._head_step.square().mean().sqrt())
        if hasattr(optimizer, "energy"):
            logged["train/kinetic"] = float(optimizer.energy())
            logged["train/hamiltonian"] = logged["train/kinetic"] + logged["train/potential"]
        if self.wants_target(sys.maxsize):
            name, network = list(self.evaluated().items())[-1]
            if (of_source := self.source_statistics.of(name)) is not None:
                logged["train/statistics_shift"] = float(of_source.distance(network))
        corrupt = getattr(self._data, "corrupt_images", None)
        if corrupt is not None:
            logged["train/corrupt_images"] = float(corrupt())
        if self.trainer.is_global_zero:
            for logger in self.loggers:
                logger.log_metrics(logged, step=self.global_step)
        for shown, name in (("source", "source_loss"), ("target", "target_loss"), ("conflict", "conflict")):
            if f"train/{name}" in logged:
                self.log(shown, logged[f"train/{name}"], prog_bar=True, logger=False)

    def learning_rate(self, step: int, total: float) -> float:
        """Factor of the learning rate: warm-up and cosine over the whole run; a method may have a law of its own."""
        options = self.training_options
        return warmup_cosine(step, options.warmup_steps, total, options.final_lr)

    def _new_optimizer(self) -> Optimizer:
        return new_optimizer(self.trained(), self.training_options.lr_factors, self.make_optimizer)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule."""
        optimizer = self._new_optimizer()
        self._optimizer_options = optimizer_options(optimizer)
        total = total_steps(self.trainer)
        schedule = LambdaLR(optimizer, lambda step: self.learning_rate(step, total))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    # ------------------------------------------------------------------------------------------------ evaluation

    def setup(self, stage: str) -> None:
        """Check data against the network, and start from another run's weights if told so."""
        check_precision(str(self.trainer.precision))
        keep_activations(self.trainer)
        check_skeletons(getattr(self._data, "skeleton", self.skeleton), self.skeleton)
        if isinstance(self.network, FinetunableNetwork):
            check_image_size(getattr(self._data, "image_size", None), self.network.image_size, str(self.pretrained))
        if stage == "fit":
            reset_seed()  # DDP has just done so: one process goes on with the random numbers of several
            adapts = self.wants_target(sys.maxsize)
            check_target(type(self).__name__, self._data, adapts)
            if adapts:
                labels = None if self.adaptation is None else self.adaptation.options.labels
                check_predictions(type(self).__name__, self._data, labels)
            if self.adaptation is not None and not isinstance(self.adaptation.gate, OpenGate):
                check_length(total_steps(self.trainer), self.adaptation.options.gate_warmup)
            check_pretraining(self.steps_on_source(), total_steps(self.trainer))
        if stage == "fit" and self.training_options.init_from and not self.trainer.ckpt_path:
            state: dict[str, Any] = {}
            if self.pretrained is None:
                state = load_network(self.training_options.init_from, self.network, self.skeleton, self.quantized)
            self.source_statistics.start_from(state, self.network, self.statistics_of())
            self.start_adaptation()

    def evaluated(self) -> dict[str, nn.Module]:
        """The networks to evaluate, by name; the last one is the one that a user gets."""
        networks: dict[str, nn.Module] = {"student": self.network}
        if self.adaptation is not None:
            networks["teacher"] = self.adaptation.teacher
        return networks

    def _start_evaluation(self) -> None:
        self._guard.check()
        broadcast_buffers(self)
        data, paper = self._data, self.training_options.paper_scores
        names, networks = data.evaluation_names(), self.evaluated()
        size = data.image_size
        self._evaluation = Evaluation(names, networks, self.skeleton, size, paper, self.device, self.encoding)

    def _evaluate(self, batch: LabeledBatch, number: int) -> None:
        assert self._evaluation is not None, "an evaluation has a start"
        networks = self.evaluated()
        of_source = self._data.evaluation_names()[number] == "val" and self.wants_target(sys.maxsize)
        with self.source_statistics.applied_to(networks) if of_source else nullcontext():
            self._evaluation.add(batch, number, networks)

    def _end_evaluation(self) -> None:
        assert self._evaluation is not None, "an evaluation has a start"
        for name, scores, headline in self._evaluation.scores():
            self.log_dict(scores, sync_dist=False, rank_zero_only=False)
            if name == "val":
                self.log("val_pck", headline, prog_bar=True, logger=False)
        if self.trainer.state.fn != "fit":  # where Lightning would log the scores with step 0
            self.log("step", float(trained(self.trainer).step))
        self._evaluation = None

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation()

    def validation_step(self, batch: LabeledBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        self._end_evaluation()

    def on_test_epoch_start(self) -> None:
        self._start_evaluation()

    def test_step(self, batch: LabeledBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        self._end_evaluation()

    def predict_step(self, batch: LabeledBatch, batch_idx: int) -> PredictionBatch:
        """Keypoints in pixels of the original images."""
        points_px, confidence = self.encoding.decode(self(normalize(batch.image)).float())
        keypoints_px, region_px = crop_to_image(points_px, batch.matrix, batch.image.shape[-1])
        return PredictionBatch(
            keypoints_px=keypoints_px,
            confidence=confidence,
            region_px=region_px,
            name=batch.name,
            index=batch.index,
            size_px=batch.image_size_px,
        )

    # ------------------------------------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Only sound weights are saved, and with them the random state."""
        self._guard.check()
        check_weights(self.trained(), self.global_step)
        checkpoint["random_state"] = get_random_state()
        if self._optimizer_options is not None:
            checkpoint["run"] = run_record(self, self._start, self._optimizer_options)
        if isinstance(self.network, BlazePose):
            checkpoint["operations"] = self.network.program.to_json()
        checkpoint["image_size"] = getattr(self._data, "image_size", None)
        checkpoint.setdefault("hyper_parameters", {})["statistics"] = self.delivered_statistics()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint of another kind is refused in one line; the random state waits for the first step."""
        check_skeleton(checkpoint, self.skeleton)
        goes_on = self.trainer.state.fn == "fit"
        lacked = self.source_statistics.fill(checkpoint["state_dict"], self, self.statistics_of())
        if lacked and self.wants_target(sys.maxsize):
            rank_zero_info(
                "The checkpoint was saved by an earlier version, without the source's BatchNorm statistics: "
                "val/… is measured with those of its network, which has seen the target."
            )
        self.quantized = saved_encoding(checkpoint, self.quantized, goes_on)
        check_model(checkpoint, self, goes_on)
        if goes_on:
            total = total_steps(self.trainer)
            resume(checkpoint, self, self._start, self._new_optimizer(), lambda step: self.learning_rate(step, total))
        self.loaded = Trained.of(checkpoint)
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        """After resuming: forget what setting up has drawn."""
        if isinstance(self.network, FinetunableNetwork):
            rank_zero_info(about_start(self.network, str(self.pretrained)))
        elif self.wants_target(sys.maxsize) and batchnorm_layers(self.network):
            rank_zero_info(about_statistics(None if self.adaptation is None else self.adaptation.options.batchnorm))
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

"""Base class of all pose methods: network, training step, evaluation and checkpoints."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from hamipose.data.base import get_skeleton
from hamipose.engine.module import TrainingModule
from hamipose.engine.optimization import total_steps
from hamipose.errors import UserError
from hamipose.evaluation.callbacks import PredictionBatch
from hamipose.evaluation.diagnostics import Diagnostics, StepResult
from hamipose.evaluation.scores import Evaluation
from hamipose.geometry.crops import crop_to_image
from hamipose.methods.network_factory import build_network
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.source_statistics import LACKS_STATISTICS, SourceStatistics, about_start, about_statistics
from hamipose.methods.teacher_student import Adaptation, DomainPass
from hamipose.methods.validation import check_fit, check_model, check_precision, check_setup
from hamipose.models.batchnorm import StatisticsDomain, batchnorm_layers
from hamipose.models.checkpoint import check_skeleton, load_network, saved_encoding
from hamipose.models.encoding import Encoding
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.mediapipe import BlazePose
from hamipose.types import LabeledBatch, SourceBatch, TrainBatch

__all__ = ["PoseMethod"]


class PoseMethod(TrainingModule):
    """Base class of all pose methods: a network and its training on a source.

    A method overrides :meth:`objective`, or :meth:`compute_gradients` if a step needs several backward passes.

    Args:
        network: options of the pose network.
        optimizer: creates the one optimizer from parameters.
        training: options of training.
    """

    training_options: TrainingOptions
    adaptation: Adaptation | None
    #: Whether `training.init_from` may name a pretrained network of another architecture.
    supports_pretrained: ClassVar[bool] = True
    progress_bar: ClassVar[dict[str, str]] = {"source": "source_loss", "target": "target_loss", "conflict": "conflict"}

    def __init__(self, network: NetworkOptions, optimizer: OptimizerCallable, training: TrainingOptions):
        start = {"training.init_from": training.init_from, "network.weights": network.weights}
        super().__init__(optimizer, training, start)
        self.adaptation = None
        self.skeleton = get_skeleton(network.skeleton)
        self.network, about, self.pretrained = build_network(network, training)
        if self.pretrained is not None and not self.supports_pretrained:
            raise UserError(
                f"{type(self).__name__} cannot start from a pretrained network ({self.pretrained}), because it needs "
                "layers or losses of its own; expected SourceOnly, MeanTeacher, HamiPose, PGDA, SAM, SAGM, GGA or Fishr"
            )
        quantized = training.quantize and self.pretrained is None
        # The options that rebuild the network; a checkpoint's copy never overrides a config.
        hparams = {"method": type(self).__name__, "skeleton": network.skeleton, **about, "quantized": quantized}
        self.save_hyperparameters(hparams)
        self.quantized = quantized  # of the current weights; `test` uses the checkpoint's
        # The running statistics of the networks mix the domains; source validation uses those of the source.
        self.source_statistics = SourceStatistics(self.network)
        self._features = torch.compile(self.network.features) if network.compile else self.network.features
        self._diagnostics = Diagnostics(self.skeleton)
        self._head_step: Tensor | None = None

    @property
    def encoding(self) -> Encoding:
        """Return the conversion between keypoints and heatmaps."""
        start = self.network if isinstance(self.network, FinetunableNetwork) else None
        return Encoding(self.training_options.sigma, self.quantized, start)

    # ------------------------------------------------------------------------------------------------ a step

    def objective(self, batch: TrainBatch) -> StepResult:
        """Compute the loss of a step: the source losses, weighted against the target's if there is an adaptation."""
        source = self.forward_source(batch.source)
        if self.adaptation is None or batch.target is None:
            return StepResult(source.losses.sum(), source.losses)
        # A separate pass, so that each domain is normalized with its own statistics.
        features = self._features(normalize(batch.target.student))
        return self.adaptation.objective(
            source,
            self.network.final(features).float(),
            features,
            batch.target,
            progress=self.adaptation.gate_progress(self.global_step, total_steps(self.trainer)),
            reduction=self.training_options.reduction,
        )

    def compute_gradients(self, batch: TrainBatch) -> StepResult:
        """Leave the gradients of a step in the parameters, by one backward pass of :meth:`objective`.

        A method that needs several passes per step (a perturbed point, a minimax game) overrides this. Each backward
        pass must go through ``manual_backward``, which keeps processes synchronized.
        """
        objective = self.objective(batch)
        self.manual_backward(objective.loss)
        return objective

    def backward_step(self, batch: TrainBatch) -> tuple[dict[str, Tensor], list[str]]:
        """Compute gradients, and record the losses of the step."""
        objective = self.compute_gradients(batch)
        losses = {"loss": objective.loss.detach(), "source loss": objective.source.detach().sum()}
        if objective.target is not None:
            losses["target loss"] = objective.target.detach().sum()
        self._diagnostics.add(objective)
        return losses, batch.source.name + ([] if batch.target is None else batch.target.name)

    def before_step(self) -> None:
        """Remember the last layer, whose increment the gate's metric needs."""
        if self.adaptation is not None:
            self.adaptation.before_step(self.network)

    def after_step(self) -> None:
        """Update metric, teacher and source statistics; start the adaptation after the last pretraining step."""
        if self.adaptation is None:
            return
        self._head_step = self.adaptation.after_step(self.network)
        options, decay = self.adaptation.options, self.adaptation.teacher.decay
        self.source_statistics.follow(decay if options.batchnorm == "average" else 0.0)
        if self.global_step == options.pretrain_steps:
            self.start_adaptation()

    def trainable_parts(self) -> nn.ModuleDict:
        """Return the parts that the optimizer updates, by the names that ``training.lr_factors`` uses."""
        return nn.ModuleDict(dict(self.network.named_children()))

    def start_adaptation(self) -> None:
        """Copy the network, which has learned the source in this run or another, to what adapts from it."""
        if self.adaptation is not None:
            self.adaptation.teacher.reset(self.network)
        self.source_statistics.follow(0.0)

    def student_modules(self) -> nn.Module:
        """Return the modules of the student's passes, whose BatchNorm statistics of the source are kept apart."""
        return self.network

    def track_source_statistics(self) -> AbstractContextManager[None]:
        """Return a context manager for training passes of source images, which records the source's statistics."""
        return self.source_statistics.student.tracking(self.student_modules())

    def source_only_steps(self) -> int:
        """Return the number of steps on the source alone before adaptation begins."""
        return 0 if self.adaptation is None else self.adaptation.options.pretrain_steps

    def delivered_statistics(self) -> StatisticsDomain:
        """Return which images' BatchNorm statistics the user's network has at this step."""
        if self.pretrained is not None:
            return "unknown"  # it keeps its own
        if not self.uses_target(sys.maxsize) or self.global_step <= self.source_only_steps():
            return "source"
        own_batches = self.adaptation is not None and self.adaptation.options.batchnorm == "target"
        return "target" if own_batches else "source and target"

    def uses_target(self, step: int) -> bool:
        """Return whether a step uses target images; the data module only loads them if so."""
        return self.adaptation is not None and step >= self.adaptation.options.pretrain_steps

    def uses_source(self, step: int) -> bool:
        """Return whether a step uses source images; false for the later steps of a source-free method."""
        return True

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return heatmaps of normalized images, by the user's network: the teacher if there is one."""
        return self.network(images) if self.adaptation is None else self.adaptation.teacher(images)

    def forward_source(self, batch: SourceBatch) -> DomainPass:
        """Pass source images through the network, with the loss of each keypoint against encoded labels."""
        with self.track_source_statistics():
            features = self._features(normalize(batch.image))
        heatmaps = self.network.final(features).float()
        truth, visible = self.encode_source(batch)
        losses = self.network.loss(heatmaps, truth, visible, self.training_options.reduction)
        return DomainPass(losses, heatmaps, features)

    def encode_source(
        self, batch: SourceBatch
    ) -> tuple[Float[Tensor, "batch keypoint h w"], Float[Tensor, "batch keypoint"]]:
        """Return the labels as heatmaps, and 1 for each keypoint that has a label."""
        size = (batch.image.shape[-2], batch.image.shape[-1])
        encoding = self.encoding
        visible = (batch.visibility > 0) & encoding.trainable_keypoints(len(self.skeleton), batch.image.device)
        return encoding.encode(batch.keypoints_px, size, visible), visible.float()

    @torch.no_grad()
    def training_scalars(self) -> dict[str, float]:
        """Return mean losses, conflicts and weights of the steps since the last call; see :class:`Diagnostics`."""
        scalars = self._diagnostics.flush()
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        if self._head_step is not None:
            scalars["train/head_step_rms"] = float(self._head_step.square().mean().sqrt())
        if hasattr(optimizer, "energy"):
            scalars["train/kinetic"] = float(optimizer.energy())
            scalars["train/hamiltonian"] = scalars["train/kinetic"] + scalars["train/potential"]
        if self.uses_target(sys.maxsize):
            name, network = list(self.evaluated_networks().items())[-1]
            if (of_source := self.source_statistics.of(name)) is not None:
                scalars["train/statistics_shift"] = float(of_source.distance(network))
        if (corrupt := getattr(self._data, "corrupt_images", None)) is not None:
            scalars["train/corrupt_images"] = float(corrupt())
        return scalars

    # ------------------------------------------------------------------------------------------------ evaluation

    def setup(self, stage: str) -> None:
        """Check the data and options, and load initial weights if requested."""
        check_precision(str(self.trainer.precision))
        super().setup(stage)
        check_setup(self, self._data)
        if stage == "fit":
            reset_seed()  # as DDP does: random numbers do not depend on the number of processes
            check_fit(self, self._data, total_steps(self.trainer))
        if stage == "fit" and self.training_options.init_from and not self.trainer.ckpt_path:
            state: dict[str, Any] = {}
            if self.pretrained is None:
                state = load_network(self.training_options.init_from, self.network, self.skeleton, self.quantized)
            self.source_statistics.start_from(state, self.network, self.student_modules())
            self.start_adaptation()

    def evaluated_networks(self) -> dict[str, nn.Module]:
        """Return the networks to evaluate, by name; the last one is the user's."""
        teacher = {} if self.adaptation is None else {"teacher": self.adaptation.teacher}
        return {"student": self.network, **teacher}

    def start_evaluation(self) -> None:
        """Create the scores of all sets and networks."""
        super().start_evaluation()
        names, size, paper = self._data.evaluation_names(), self._data.image_size, self.training_options.paper_scores
        networks = self.evaluated_networks()
        self._evaluation = Evaluation(names, networks, self.skeleton, size, paper, self.device, self.encoding)

    def evaluate_batch(self, batch: LabeledBatch, dataloader_idx: int) -> None:
        """Score a batch with all networks; source validation uses the source's BatchNorm statistics."""
        networks = self.evaluated_networks()
        of_source = self._data.evaluation_names()[dataloader_idx] == "val" and self.uses_target(sys.maxsize)
        with self.source_statistics.applied_to(networks) if of_source else nullcontext():
            self._evaluation.add(batch, dataloader_idx, networks)

    def end_evaluation(self) -> None:
        """Log the scores of all sets."""
        for name, scores, headline in self._evaluation.scores():
            self.log_dict(scores, sync_dist=False, rank_zero_only=False)
            if name == "val":
                self.log("val_pck", headline, prog_bar=True, logger=False)
        self._log_position()
        del self._evaluation

    def predict_step(self, batch: LabeledBatch, batch_idx: int) -> PredictionBatch:
        """Return keypoints in pixels of the original images."""
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
        """Add what rebuilds and describes the network."""
        super().on_save_checkpoint(checkpoint)
        if isinstance(self.network, BlazePose):
            checkpoint["operations"] = self.network.program.to_json()
        checkpoint["image_size"] = getattr(self._data, "image_size", None)
        checkpoint.setdefault("hyper_parameters", {})["statistics"] = self.delivered_statistics()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reject checkpoints of other networks or, in `fit`, of other methods and options."""
        check_skeleton(checkpoint, self.skeleton)
        resumes = self.trainer.state.fn == "fit"
        lacked = self.source_statistics.fill(checkpoint["state_dict"], self, self.student_modules())
        if lacked and self.uses_target(sys.maxsize):
            rank_zero_info(LACKS_STATISTICS)
        self.quantized = saved_encoding(checkpoint, self.quantized, resumes)
        check_model(checkpoint, self, resumes)
        super().on_load_checkpoint(checkpoint)

    def on_train_start(self) -> None:
        """Log which BatchNorm statistics are used, and restore the random state after resuming."""
        if isinstance(self.network, FinetunableNetwork):
            rank_zero_info(about_start(self.network, str(self.pretrained)))
        elif self.uses_target(sys.maxsize) and batchnorm_layers(self.network):
            rank_zero_info(about_statistics(None if self.adaptation is None else self.adaptation.options.batchnorm))
        super().on_train_start()

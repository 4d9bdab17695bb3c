"""Base Lightning module of both packages: manual optimization, NaN guard, evaluation hooks and exact resume."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hamipose.engine.checkpoints import RunPosition, get_random_state, run_position, set_random_state
from hamipose.engine.distributed import broadcast_buffers, keep_activations
from hamipose.engine.nan_guard import NanGuard, check_weights
from hamipose.engine.optimization import new_optimizer, total_steps, warmup_cosine
from hamipose.engine.resume import optimizer_options, resume, run_record

__all__ = ["OptimizationOptions", "TrainingModule"]


@runtime_checkable
class OptimizationOptions(Protocol):
    """The training options that :class:`TrainingModule` reads."""

    @property
    def warmup_steps(self) -> int:
        """Return the number of warm-up steps of the learning rate."""

    @property
    def final_lr_ratio(self) -> float:
        """Return the learning rate at the end of the run as a fraction of the largest one."""

    @property
    def lr_factors(self) -> dict[str, float] | None:
        """Return the learning rate factor of each trainable part, or None for a single parameter group."""

    @property
    def clip_norm(self) -> float | None:
        """Return the largest gradient norm, or None for no clipping."""


class TrainingModule(LightningModule):
    """Base class of all methods: one optimizer, manual optimization, evaluation hooks and exact resume.

    A subclass defines :meth:`trainable_parts`, :meth:`backward_step`, :meth:`training_scalars`, :meth:`evaluate_batch`
    and, if needed, extends the other hooks. This is a second level of inheritance below Lightning's class because
    Lightning calls hooks by name on the module itself, so the code that methods share cannot be a separate object.

    A resumed run continues exactly as if it had not been interrupted: Lightning restores weights, optimizer and
    schedule; a checkpoint also contains the random state (``random_state``), restored in :meth:`on_train_start`, and
    the options that must not change (``run``), compared by :mod:`hamipose.engine.resume`; data modules draw samples
    from (seed, step, position), so that they need no state.

    Args:
        optimizer: creates the optimizer from parameters.
        training: options of the optimization.
        start: option → source of the initial weights; a resumed run must have the same.
    """

    #: Name in the progress bar → name of the logged scalar after train/.
    progress_bar: ClassVar[dict[str, str]] = {}

    def __init__(self, optimizer: OptimizerCallable, training: OptimizationOptions, start: Mapping[str, str | None]):
        super().__init__()
        self.automatic_optimization = False
        self.make_optimizer = optimizer
        self.training_options = training
        self.loaded: RunPosition | None = None
        self._start = dict(start)
        self._guard = NanGuard()
        self._optimizer_options: dict[str, Any] | None = None
        self._random_state: dict[str, Any] | None = None

    @property
    def _data(self) -> Any:
        """Return the data module, or None."""
        return getattr(self.trainer, "datamodule", None)

    def setup(self, stage: str) -> None:
        """Make ``trainer.sync_batchnorm`` keep the activations of timm's layers."""
        keep_activations(self.trainer)

    # ------------------------------------------------------------------------------------------------ a step

    @abstractmethod
    def trainable_parts(self) -> nn.ModuleDict:
        """Return the parts that the optimizer updates, by the names that ``training.lr_factors`` uses."""

    @abstractmethod
    def backward_step(self, batch: Any) -> tuple[dict[str, Tensor], list[str]]:
        """Leave the gradients of a training step in the parameters.

        Returns:
            Losses that must be finite, by name, and the names of the samples.
        """

    def before_step(self) -> None:
        """Run before the optimizer's step, when gradients are clipped."""

    def after_step(self) -> None:
        """Run after the optimizer's and the schedule's step."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Compute gradients, clip them, and step optimizer and schedule."""
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        optimizer.zero_grad()
        losses, names = self.backward_step(batch)
        self._guard.watch(self.global_step, losses, names)
        logs = (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        norm = self._clip_gradient(measure=logs)
        self.before_step()
        optimizer.step()
        schedule.step()
        self.after_step()
        if logs:
            self._log_training(norm)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass outside autocast, so that gradients are as precise as the forward pass.

        Lightning calls ``training_step``, and a backward pass in it, within autocast: products that the forward pass
        takes in single precision on purpose would have their gradients rounded to bfloat16. Outside autocast each
        gradient has the precision of its own operation, as torch's documentation recommends.
        """
        with torch.autocast(loss.device.type, enabled=False):
            super().manual_backward(loss, *args, **kwargs)

    def _clip_gradient(self, measure: bool) -> Tensor | None:
        """Clip the gradient; return its norm if it is clipped or `measure` is set, else None."""
        limit = self.training_options.clip_norm
        if limit is None and not measure:
            return None
        return nn.utils.clip_grad_norm_(self.trainable_parts().parameters(), math.inf if limit is None else limit)

    @abstractmethod
    def training_scalars(self) -> dict[str, float]:
        """Return what a method logs of the steps since the last call, by names such as train/source_loss."""

    @torch.no_grad()
    def _log_training(self, norm: Tensor | None) -> None:
        scalars = self.training_scalars()
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        scalars["train/lr"] = float(optimizer.param_groups[0]["lr"])
        if norm is not None:
            scalars["train/gradient_norm"] = float(norm)
        if self.trainer.is_global_zero:
            for logger in self.loggers:
                logger.log_metrics(scalars, step=self.global_step)
        for shown, name in self.progress_bar.items():
            if f"train/{name}" in scalars:
                self.log(shown, scalars[f"train/{name}"], prog_bar=True, logger=False)

    # ------------------------------------------------------------------------------------------------ the optimizer

    def learning_rate(self, step: int, total: float) -> float:
        """Return the learning rate factor: linear warm-up, then a cosine over the whole run."""
        options = self.training_options
        return warmup_cosine(step, options.warmup_steps, total, options.final_lr_ratio)

    def _new_optimizer(self) -> Optimizer:
        return new_optimizer(self.trainable_parts(), self.training_options.lr_factors, self.make_optimizer)

    def configure_optimizers(self) -> Any:
        """Create the optimizer and its schedule."""
        optimizer = self._new_optimizer()
        self._optimizer_options = optimizer_options(optimizer)
        total = total_steps(self.trainer)
        schedule = LambdaLR(optimizer, lambda step: self.learning_rate(step, total))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    # ------------------------------------------------------------------------------------------------ evaluation

    def start_evaluation(self) -> None:
        """Prepare the evaluation of all sets: finite losses, and the same buffers on all processes."""
        self._guard.check()
        broadcast_buffers(self)

    @abstractmethod
    def evaluate_batch(self, batch: Any, dataloader_idx: int) -> None:
        """Add a batch of an evaluation set to the scores."""

    def end_evaluation(self) -> None:
        """Log the scores of all sets."""

    def _log_position(self) -> None:
        """Log the step of the evaluated network outside of `fit`, where Lightning would log step 0."""
        if self.trainer.state.fn != "fit":
            self.log("step", float(run_position(self.trainer).step))

    def on_validation_epoch_start(self) -> None:
        """Start the evaluation."""
        self.start_evaluation()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch."""
        self.evaluate_batch(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """End the evaluation."""
        self.end_evaluation()

    def on_test_epoch_start(self) -> None:
        """Start the evaluation."""
        self.start_evaluation()

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch."""
        self.evaluate_batch(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """End the evaluation."""
        self.end_evaluation()

    # ------------------------------------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save only finite weights, together with the random state and the options of the run."""
        self._guard.check()
        check_weights(self.trainable_parts(), self.global_step)
        checkpoint["random_state"] = get_random_state()
        if self._optimizer_options is not None:
            checkpoint["run"] = run_record(self, self._start, self._optimizer_options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """In `fit`, check the options against the checkpoint's run; keep the random state for the first step."""
        trainer = self._trainer
        if trainer is not None and trainer.state.fn == "fit":
            total = total_steps(trainer)
            resume(checkpoint, self, self._start, self._new_optimizer(), lambda step: self.learning_rate(step, total))
        self.loaded = RunPosition.from_checkpoint(checkpoint)
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        """Restore the random state after resuming: setup has drawn random numbers since."""
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

"""``trainer.sync_batchnorm`` for timm's backbones: BatchNorm over the batch of all processes, activations kept."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from timm.layers import BatchNormAct2d, SyncBatchNormAct, convert_sync_batchnorm
from torch import nn

from hamipose.errors import UserError

__all__ = ["SyncBatchNorm", "check_device", "keep_activations"]


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's conversion, except that timm's ``BatchNormAct2d`` keeps its activation.

    torch's own conversion replaces it by a plain SyncBatchNorm, and every activation of a MobileNetV3, an EfficientNet
    or a RegNet is lost.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every BatchNorm of the model by one that sees the batch of all processes."""
        return convert_sync_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo :meth:`apply`."""
        if not isinstance(model, SyncBatchNormAct):
            return super().revert(model)
        reverted = BatchNormAct2d(
            model.num_features, model.eps, affine=model.affine, track_running_stats=model.track_running_stats
        )
        reverted.momentum = model.momentum
        for name, child in model.named_children():  # the activation, and dropout
            reverted.add_module(name, child)
        reverted.weight, reverted.bias = model.weight, model.bias
        reverted.running_mean, reverted.running_var = model.running_mean, model.running_var
        reverted.num_batches_tracked = model.num_batches_tracked
        return reverted.train(model.training)


def keep_activations(trainer: Trainer) -> None:
    """Let a trainer with ``sync_batchnorm`` convert by :class:`SyncBatchNorm`; for a module's ``setup``.

    Raises:
        UserError: training is on CPUs.
    """
    strategy = trainer.strategy
    if type(getattr(strategy, "_layer_sync", None)) is TorchSyncBatchNorm:  # only strategies of several processes
        check_device(strategy.root_device)
        strategy._layer_sync = SyncBatchNorm()  # type: ignore[attr-defined]


def check_device(device: torch.device) -> None:
    """Refuse CPUs, where torch cannot synchronize BatchNorm.

    Raises:
        UserError: the device is a CPU.
    """
    if device.type == "cpu":
        raise UserError(
            "trainer.sync_batchnorm is true and the run is on CPUs; torch synchronizes BatchNorm on GPUs only: "
            "leave the option out, or train on GPUs"
        )

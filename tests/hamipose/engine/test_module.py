"""Base Lightning module: gradients under bf16-mixed have the precision of their operations."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from hamipose.engine.module import TrainingModule
from hamipose.methods.base import PoseMethod
from meshtto.methods.base import MeshMethod

OPTIONS = SimpleNamespace(warmup_steps=0, final_lr_ratio=1.0, lr_factors=None, clip_norm=None)


class _Products:
    """Two matrix products: the first in bfloat16, the second in single precision."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.automatic_optimization = False
        torch.manual_seed(0)
        self.first = torch.nn.Parameter(torch.randn(48, 48))
        self.second = torch.nn.Parameter(torch.randn(48, 48))

    def training_step(self, batch: torch.Tensor, index: int) -> None:
        rounded = batch @ self.first
        assert rounded.dtype == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            loss = (rounded.detach().float() @ self.second).square().sum() + rounded.float().mean()
        self.manual_backward(loss)
        rows = rounded.detach().double()
        exact = 2 * rows.T @ (rows @ self.second.double())
        self.error = float(((self.second.grad - exact).abs().max() / exact.abs().max()).detach())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class WithTrainingModule(_Products, TrainingModule):
    pass


class WithLightningModule(_Products, LightningModule):
    pass


def error(model: LightningModule, folder: Path) -> float:
    """Return the error of the single-precision gradient relative to the largest entry."""
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, DataLoader(torch.randn(16, 48), batch_size=16))
    assert model.first.grad is not None
    return model.error


def test_manual_backward_keeps_single_precision(tmp_path: Path) -> None:
    assert error(WithTrainingModule(torch.optim.SGD, OPTIONS, {}), tmp_path) < 1e-6
    assert error(WithLightningModule(), tmp_path) > 1e-4


@pytest.mark.parametrize("method", [PoseMethod, MeshMethod])
def test_manual_backward_is_shared_by_both_packages(method: type[LightningModule]) -> None:
    assert method.manual_backward is TrainingModule.manual_backward

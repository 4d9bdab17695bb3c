"""The progress bar of both command lines."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme

__all__ = ["Progress"]


class Progress(RichProgressBar):
    """Lightning's bar with three digits of each number: losses of heatmaps are thousandths, which it shows as 0.00.

    The logger's version is left out: it says where the files are, and only its last four letters were shown.
    """

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3g"))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What the method logs for the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

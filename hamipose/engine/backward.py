"""Backward passes in the precision of the forward pass."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

__all__ = ["BackwardAsForward"]


class BackwardAsForward(LightningModule):
    """A module with manual optimization whose gradients are as exact as its values.

    Lightning calls ``training_step``, and a backward pass in it, within autocast: products that the forward pass took
    in single precision on purpose would have their gradients rounded to bfloat16. Outside autocast each gradient has
    the precision of its own operation, as torch's documentation asks for.
    """

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """As Lightning's, outside autocast."""
        with torch.autocast(loss.device.type, enabled=False):
            super().manual_backward(loss, *args, **kwargs)

"""The teacher: a frozen copy that follows the student as an exponential moving average (HamiPose §3.1, Alg. 1)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Teacher"]


class Teacher(nn.Module):
    r"""Exponential moving average :math:`\theta' \leftarrow \tau \theta' + (1 - \tau) \theta` of a student network.

    It is updated after every step, is the model that is evaluated, has no gradients, and always stays in eval mode.

    Args:
        student: network to follow; copied, never modified.
        decay: τ.
        batchnorm: source of the BatchNorm statistics. "copy": the student's, those of the mixture of both domains.
            "average": an average of the student's with the same τ. "target": statistics of its own batches, which are
            target images (as in UniFrame); in :meth:`pseudo_label` it normalizes with the current batch. Target
            statistics helped on built-in people (26.8 against 22.9 PCK@0.05) and harmed on LSP (31.5 against 40.8; the
            mean of both 37.4): "copy" is the default, and the source's own statistics are kept separately for source
            validation (:class:`hamipose.models.batchnorm.BatchNormStatistics`).

    Raises:
        ValueError: τ is outside [0, 1], or `batchnorm` has another value.
    """

    num_updates: Tensor

    def __init__(
        self, student: nn.Module, decay: float = 0.99, batchnorm: Literal["copy", "average", "target"] = "copy"
    ) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise ValueError(f"decay is {decay}: expected a number from 0 to 1")
        if batchnorm not in ("copy", "average", "target"):
            raise ValueError(f'batchnorm is {batchnorm!r}: expected "copy", "average" or "target"')
        self.decay = decay
        self.batchnorm = batchnorm
        self.network = copy.deepcopy(student).requires_grad_(False).eval()
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> "Teacher":
        """Accept the owner's mode; the network itself stays in eval mode."""
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return heatmaps for evaluation with running statistics; nothing is updated."""
        return self.network(images)

    @contextmanager
    def labeling(self) -> Iterator[None]:
        """Update the statistics by the images inside the context if ``batchnorm`` is "target"."""
        layers = [module for module in self.network.modules() if isinstance(module, _BatchNorm)]
        for layer in layers:
            layer.training = self.batchnorm == "target"
        try:
            yield
        finally:
            for layer in layers:
                layer.training = False

    @torch.no_grad()
    def pseudo_label(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return heatmaps of target images as training targets.

        With ``batchnorm="target"``, the statistics are updated by these images.
        """
        with self.labeling():
            return self.network(images)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move one step towards the student."""
        torch._foreach_lerp_(list(self.network.parameters()), list(student.parameters()), 1 - self.decay)
        own_statistics = self._batchnorm_buffers() if self.batchnorm == "target" else set()
        theirs = dict(student.named_buffers())
        pairs = [(mine, theirs[name]) for name, mine in self.network.named_buffers() if name not in own_statistics]
        averaged = [self.batchnorm == "average" and mine.is_floating_point() for mine, _ in pairs]
        follow = [pair for pair, average in zip(pairs, averaged, strict=True) if average]
        repeat = [pair for pair, average in zip(pairs, averaged, strict=True) if not average]
        if follow:
            torch._foreach_lerp_([mine for mine, _ in follow], [other for _, other in follow], 1 - self.decay)
        if repeat:
            torch._foreach_copy_([mine for mine, _ in repeat], [other for _, other in repeat])
        self.num_updates += 1

    @torch.no_grad()
    def reset(self, student: nn.Module) -> None:
        """Become an exact copy of the student again, including statistics."""
        self.network.load_state_dict(student.state_dict())
        self.num_updates.zero_()

    def _batchnorm_buffers(self) -> set[str]:
        """Return the names of the running statistics in the network."""
        return {
            f"{prefix}.{name}" if prefix else name
            for prefix, module in self.network.named_modules()
            if isinstance(module, _BatchNorm)
            for name, _ in module.named_buffers(recurse=False)
        }

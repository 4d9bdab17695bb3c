"""Estimate how long the remaining part of an adaptation will take."""

import copy
import time
from pathlib import Path

import torch
from torch import nn

from hamipose.adapt.configs import built_in_people
from hamipose.adapt.hardware import Machine, TrainingSettings
from hamipose.errors import UserError
from hamipose.io.tensor_file import read_checkpoint_file
from hamipose.models.network import PoseNetwork

__all__ = ["count_missing_images", "count_remaining_steps", "estimate_minutes"]

_RENDERED_PER_SECOND = 10  # images of built-in people at 256 px on one core, benchmarks/render.py


def count_remaining_steps(folder: Path, steps: int) -> int:
    """Return the number of steps that the last checkpoint of a run has not made.

    Args:
        folder: folder of the run; it may not exist yet.
        steps: steps of the whole run.
    """
    if (folder / "scores.json").exists():
        return 0
    last = folder / "checkpoints/last.ckpt"
    return max(0, steps - read_checkpoint_file(last)["global_step"]) if last.exists() else steps


def count_missing_images(settings: TrainingSettings, cache: Path) -> int:
    """Return the number of images of built-in people, for training and validation, that are not in the cache yet."""
    sets = [people["init_args"] for people in built_in_people(settings, cache)]
    return sum(max(0, s["count"] - len(list(Path(s["root"]).glob("images/*")))) for s in sets)


def estimate_minutes(
    settings: TrainingSettings,
    machine: Machine,
    *,
    start_steps: int,
    adapt_steps: int,
    images: int,
    network: nn.Module | None = None,
) -> float:
    """Estimate the remaining minutes from a few timed steps on random images.

    A step of adaptation passes two batches through the network forward and backward and one through the teacher.

    Args:
        settings: network and sizes.
        machine: the hardware.
        start_steps: remaining steps on the source alone.
        adapt_steps: remaining steps of adaptation.
        images: number of images of built-in people to render.
        network: the network to time; default: a new one with the backbone of `settings`.

    Raises:
        UserError: a batch does not fit into memory.
    """
    device = torch.device("cuda" if machine.gpu else "cpu")
    try:
        timed = network or PoseNetwork(16, settings.backbone, None, settings.deconv_channels)
        timed = copy.deepcopy(timed).to(device).train()
        batch = torch.randn(settings.batch_size, 3, settings.image_size, settings.image_size, device=device)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16-mixed"):
                timed(batch).square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
    except torch.OutOfMemoryError:
        raise UserError(
            f"a batch of {settings.batch_size} images of {settings.image_size} px does not fit into the memory of "
            f"{machine}; give a smaller --batch-size or --image-size"
        ) from None
    forward_backward = min(times)
    training = forward_backward * (start_steps + adapt_steps * (2 + 1 / 3)) * 1.15
    rendering = images / (_RENDERED_PER_SECOND * machine.cores)
    return (training + rendering) / 60

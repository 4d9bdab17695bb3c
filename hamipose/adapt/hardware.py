"""What a machine can do in reasonable time: backbone, size and length of a run, and how long that will take."""

import copy
import os
import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from hamipose.config.environment import available_cpus
from hamipose.errors import UserError
from hamipose.models.model_io import ModelInfo
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.interface import Part

__all__ = ["Machine", "Plan", "default_plan", "estimate_minutes", "pretrained_plan", "this_machine"]

_RENDERED_PER_SECOND = 10  # pictures of built-in people at 256 px on one core, benchmarks/render.py


@dataclass(frozen=True)
class Machine:
    """What training can use.

    Attributes:
        gpu: its name; None where there is none.
        gpu_gib: its memory.
        cores: of the processor.
        memory_gib: main memory.
    """

    gpu: str | None
    gpu_gib: float
    cores: int
    memory_gib: float

    def __str__(self) -> str:
        """As it is told to a user."""
        memory = f"{self.cores} cores, {self.memory_gib:.0f} GiB"
        return memory if self.gpu is None else f"{self.gpu} ({self.gpu_gib:.0f} GiB), {memory}"


def this_machine() -> Machine:
    """The one we run on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if not torch.cuda.is_available():
        return Machine(None, 0.0, available_cpus(), memory_gib)
    properties = torch.cuda.get_device_properties(0)
    return Machine(properties.name, properties.total_memory / 2**30, available_cpus(), memory_gib)


@dataclass(frozen=True)
class Plan:
    """How a model is made and adapted.

    Attributes:
        backbone: timm's name.
        weights: what the backbone starts from: none, pretrained, or a file.
        deconv_channels: widths of the deconvolutions.
        image_size: side of the crops in pixels.
        batch_size: source images, and as many frames, in a step.
        people: how many built-in people are made as the source.
        start_steps: steps on the source alone.
        adapt_steps: steps of adaptation.
        precision: Lightning's word.
        workers: loading processes.
        trained: layers of a pretrained network to train; see `hamipose.methods.options.NetworkOptions`.
    """

    backbone: str
    weights: str
    deconv_channels: tuple[int, ...]
    image_size: int
    batch_size: int
    people: int
    start_steps: int
    adapt_steps: int
    precision: str
    workers: int
    trained: Part = "all"


def pretrained_plan(machine: Machine, info: ModelInfo) -> Plan:
    """Lengths for a pretrained network, whose sizes are its own: short, as it is trained already.

    Args:
        machine: what there is.
        info: the network.
    """
    plan = default_plan(machine)
    return replace(
        plan,
        backbone=info.backbone,
        deconv_channels=info.deconv_channels,
        image_size=info.image_size,
        batch_size=8,
        people=500,
        start_steps=0,
        adapt_steps=300,
        precision="32-true",
        trained="head",
    )


def default_plan(machine: Machine) -> Plan:
    """Sizes for the machine: a small network on processors alone, the paper's input size where there is a GPU.

    Args:
        machine: what there is.
    """
    small = Plan("resnet10t", "none", (64, 64, 64), 96, 16, 2000, 1500, 600, "32-true", 0)
    if machine.gpu is None:
        workers = 0 if machine.cores <= 4 else min(machine.cores // 2, 8)
        if machine.cores < 8:
            return replace(small, workers=workers)
        return replace(small, backbone="resnet18", deconv_channels=(128, 128, 128), image_size=128, workers=workers)
    large = machine.gpu_gib >= 20
    return Plan(
        backbone="resnet50" if large else "resnet18",
        weights="none",
        deconv_channels=(256, 256, 256),
        image_size=256,
        batch_size=32 if large else 16,
        people=10_000,
        start_steps=8000,
        adapt_steps=5000,
        precision="bf16-mixed",
        workers=max(1, min(machine.cores - 1, 12)),
    )


def estimate_minutes(
    plan: Plan, machine: Machine, *, start_steps: int, adapt_steps: int, pictures: int, network: nn.Module | None = None
) -> float:
    """Minutes that what is left of a plan takes here, from a few steps of its network on noise.

    A step of adaptation passes two batches through the network forward and backward and one through the teacher.

    Args:
        plan: what is planned.
        machine: where.
        start_steps: steps on the source alone that are left.
        adapt_steps: steps of adaptation that are left.
        pictures: of built-in people that have to be made.
        network: a pretrained one that training starts from; a new one of the plan's backbone if None.

    Raises:
        UserError: a batch does not fit into memory.
    """
    device = torch.device("cuda" if machine.gpu else "cpu")
    try:
        made = network or PoseNetwork(16, plan.backbone, None, plan.deconv_channels)
        network = copy.deepcopy(made).to(device).train()
        images = torch.randn(plan.batch_size, 3, plan.image_size, plan.image_size, device=device)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16-mixed"):
                network(images).square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    except torch.OutOfMemoryError:
        raise UserError(
            f"a batch of {plan.batch_size} images of {plan.image_size} px does not fit into {machine}; give a smaller "
            "--batch-size or --size"
        ) from None
    both_ways = min(times)
    training = both_ways * (start_steps + adapt_steps * (2 + 1 / 3)) * 1.15
    rendering = pictures / (_RENDERED_PER_SECOND * machine.cores)
    return (training + rendering) / 60

"""Default settings of an adaptation for the machine it runs on: backbone, image size, batch size and lengths."""

import os
from dataclasses import dataclass, replace

import torch

from hamipose.config.environment import available_cpus
from hamipose.models.model_io import ModelInfo
from hamipose.models.pretrained.interface import Part

__all__ = [
    "Machine",
    "TrainingSettings",
    "default_settings",
    "detect_machine",
    "pretrained_settings",
    "with_network_of",
]


@dataclass(frozen=True)
class Machine:
    """The hardware that training can use.

    Attributes:
        gpu: name of the first GPU; None if there is none.
        gpu_gib: memory of the GPU in GiB.
        cores: number of processor cores.
        memory_gib: main memory in GiB.
    """

    gpu: str | None
    gpu_gib: float
    cores: int
    memory_gib: float

    def __str__(self) -> str:
        """Return a one-line description."""
        memory = f"{self.cores} cores, {self.memory_gib:.0f} GiB"
        return memory if self.gpu is None else f"{self.gpu} ({self.gpu_gib:.0f} GiB), {memory}"


def detect_machine() -> Machine:
    """Return the hardware of this machine."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if not torch.cuda.is_available():
        return Machine(None, 0.0, available_cpus(), memory_gib)
    properties = torch.cuda.get_device_properties(0)
    return Machine(properties.name, properties.total_memory / 2**30, available_cpus(), memory_gib)


@dataclass(frozen=True)
class TrainingSettings:
    """Network, sizes and lengths of an adaptation.

    Attributes:
        backbone: timm's name of the backbone.
        weights: initial weights of the backbone: none, pretrained, or a file.
        deconv_channels: widths of the deconvolutions.
        image_size: side of the crops in pixels.
        batch_size: number of source images, and of target images, per step.
        people: number of built-in people to render as the source.
        start_steps: steps of training on the source alone.
        adapt_steps: steps of adaptation.
        precision: Lightning's name of the precision.
        workers: number of worker processes that load data.
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


def default_settings(machine: Machine) -> TrainingSettings:
    """Return the settings for a network of our own.

    The image size is 96 px on fewer than 8 cores without a GPU, 128 px on 8 or more, and 256 px, as in the paper, on a
    GPU. A model given with ``--start`` overrides it with its own, see :func:`with_network_of`.

    Args:
        machine: the hardware.
    """
    if machine.gpu is None:
        small = TrainingSettings(
            backbone="resnet10t",
            weights="none",
            deconv_channels=(64, 64, 64),
            image_size=96,
            batch_size=16,
            people=2000,
            start_steps=1500,
            adapt_steps=600,
            precision="32-true",
            workers=0 if machine.cores <= 4 else min(machine.cores // 2, 8),
        )
        if machine.cores < 8:
            return small
        return replace(small, backbone="resnet18", deconv_channels=(128, 128, 128), image_size=128)
    large = machine.gpu_gib >= 20
    return TrainingSettings(
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


def with_network_of(settings: TrainingSettings, info: ModelInfo) -> TrainingSettings:
    """Return the settings with the backbone and the image size of the model that adaptation starts from."""
    return replace(
        settings,
        backbone=info.backbone,
        weights="none",
        deconv_channels=info.deconv_channels,
        image_size=info.image_size,
    )


def pretrained_settings(machine: Machine, info: ModelInfo) -> TrainingSettings:
    """Return the settings for an external pretrained network: few steps, and only its head is trained.

    Args:
        machine: the hardware.
        info: the network's record.
    """
    return replace(
        with_network_of(default_settings(machine), info),
        batch_size=8,
        people=500,
        start_steps=0,
        adapt_steps=300,
        precision="32-true",
        trained="head",
    )

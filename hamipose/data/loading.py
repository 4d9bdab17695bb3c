"""How the data modules of both packages load: which process reads what, and with what generator."""

import os
import sys
from collections.abc import Iterable
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from hamipose.data.base import ImageDataset
from hamipose.data.evaluation_set import ShareSampler
from hamipose.data.sampling import init_worker
from hamipose.errors import UserError

__all__ = ["check_sizes", "evaluation_loader", "loader", "prepare_sets", "rank_and_world", "running_verb"]


def check_sizes(least: int = 1, **options: int) -> None:
    """Sizes and numbers of a data module.

    Args:
        least: what each may be.
        options: by their names.

    Raises:
        UserError: one is below.
    """
    for name, value in options.items():
        if value < least:
            raise UserError(f"data.{name} is {value}, expected at least {least}")


def prepare_sets(datasets: Iterable[ImageDataset]) -> None:
    """Have data sets made ready; what they leave out is printed to standard error, a line each."""
    for dataset in datasets:
        dataset.prepare()
        for line in dataset.skipped_messages():
            print(f"left out: {line}", file=sys.stderr)


def running_verb(trainer: Any) -> str:
    """What the trainer is about: fit, validate, test or predict; fit where it is None."""
    running = None if trainer is None else trainer.state.fn
    return "fit" if running is None else str(running.value)


def rank_and_world(trainer: Any) -> tuple[int, int]:
    """Number of this process, and how many there are; 0 and 1 without a trainer.

    Args:
        trainer: Lightning's, or None.

    Raises:
        UserError: Lightning would share out once more what the samplers share out already.
    """
    if trainer is None:
        return 0, 1
    if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
        raise UserError("trainer.use_distributed_sampler is true; set it to false: the data are shared out already")
    return trainer.global_rank, trainer.world_size


def loader(dataset: Dataset, workers: int, seed: int, **options: Any) -> DataLoader:
    """A loader that draws nothing from the run's own generator.

    Args:
        dataset: what is loaded.
        workers: loading processes; 0 loads in the training process.
        seed: of the loader's generator.
        options: of torch's loader.
    """
    if workers == 0 and (os.cpu_count() or 1) <= 2:
        cv2.setNumThreads(0)  # the training process has the cores
    return DataLoader(
        dataset,
        num_workers=workers,
        worker_init_fn=init_worker,
        pin_memory=torch.cuda.is_available(),
        # Of its own, or each pass would take a number from the run's generator and resuming could not be exact.
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def evaluation_loader(
    crops: Dataset, count: int, batch_size: int, workers: int, seed: int, rank: int, world: int, **options: Any
) -> DataLoader:
    """A loader of this process's share of an evaluation set, each item once.

    Args:
        crops: the set's items.
        count: how many there are, padding not counted.
        batch_size: items at a time.
        workers: at most so many loading processes: a process for few pictures is not worth its start.
        seed: of the loader's generator.
        rank: number of this process.
        world: how many processes there are.
        options: of torch's loader.
    """
    sampler = ShareSampler(count, rank, world)
    return loader(crops, min(workers, 1 + count // 200), seed, batch_size=batch_size, sampler=sampler, **options)

"""Base class of the data modules of both packages: evaluation sets, checks before a run, and reproducible loaders."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import cv2
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from hamipose.data.base import ImageDataset
from hamipose.data.evaluation_set import ShareSampler
from hamipose.data.sampling import StepSampler, init_worker
from hamipose.errors import UserError

__all__ = ["BaseDataModule", "prepare_sets"]


def prepare_sets(datasets: Iterable[ImageDataset]) -> None:
    """Prepare data sets, and print what they skip to standard error, one line each."""
    for dataset in datasets:
        dataset.prepare()
        for message in dataset.skipped_messages():
            print(f"skipped: {message}", file=sys.stderr)


def _check_minimum(minimum: int, options: Mapping[str, int]) -> None:
    for name, value in options.items():
        if value < minimum:
            raise UserError(f"data.{name} is {value}, expected at least {minimum}")


class BaseDataModule(LightningDataModule, ABC):
    """Evaluation sets, checks, and loaders whose training batches depend only on the seed and the step.

    A subclass lists its training sets, builds the data set of training samples, and crops evaluation sets.

    Args:
        validation: labeled images by which checkpoints may be selected.
        test: labeled test sets by name; nothing may be selected by their scores.
        predict: images for the verb `predict`.
        crop_size: sizes of the crops in pixels by the names of their options, for messages.
        batch_size: training samples per step, over all processes.
        evaluation_batch_size: images per batch and process in evaluation.
        steps_per_epoch: steps per epoch; None if it is known only after `setup`.
        num_workers: data loading processes; 0 loads in the training process.
        seed: random seed.

    Raises:
        UserError: a size or number is too small.
    """

    #: Data set named as an example in the message about a missing ``data.predict``.
    predict_example: ClassVar[str]
    #: Join training samples to a batch.
    collate_training: ClassVar[Callable[[list], Any]]
    #: Join evaluation samples to a batch.
    collate_evaluation: ClassVar[Callable[[list], Any]]

    def __init__(
        self,
        validation: ImageDataset | None,
        test: Mapping[str, ImageDataset] | None,
        predict: ImageDataset | None,
        crop_size: Mapping[str, int],
        batch_size: int,
        evaluation_batch_size: int,
        steps_per_epoch: int | None,
        num_workers: int,
        seed: int,
    ):
        super().__init__()
        sizes = {**crop_size, "batch_size": batch_size, "evaluation_batch_size": evaluation_batch_size}
        _check_minimum(1, sizes if steps_per_epoch is None else {**sizes, "steps_per_epoch": steps_per_epoch})
        _check_minimum(0, {"num_workers": num_workers, "seed": seed})
        self.validation = validation
        self.test = dict(test or {})
        self.predict = predict
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = num_workers
        self.seed = seed
        #: Training samples by :class:`hamipose.data.sampling.BatchPosition`, after `setup` for `fit`.
        self.training_set: Any = None

    @abstractmethod
    def training_sets(self) -> Sequence[ImageDataset]:
        """Return the data sets that training reads.

        Raises:
            UserError: there are none.
        """

    @abstractmethod
    def build_training_set(self) -> Dataset:
        """Return the training samples, indexed by :class:`hamipose.data.sampling.BatchPosition`."""

    @abstractmethod
    def evaluation_crops(self, dataset: Any) -> Dataset:
        """Return the crops of an evaluation set; indices beyond its end are padding without labels."""

    def check_dataset(self, dataset: Any) -> None:
        """Check a prepared data set against the run; does nothing by default.

        Raises:
            UserError: it does not fit.
        """

    def image_needs(self) -> dict[str, Callable[[int], bool]]:
        """Return the options `uses_target` and `uses_source` of :class:`StepSampler`; empty by default."""
        return {}

    def evaluation_sets(self) -> list[tuple[str, Any]]:
        """Return logging prefix and data set of each loader of :meth:`val_dataloader`."""
        validation = [] if self.validation is None else [("val", self.validation)]
        return validation + [(f"test/{name}", dataset) for name, dataset in self.test.items()]

    def evaluation_names(self) -> list[str]:
        """Return the logging prefixes of :meth:`evaluation_sets`."""
        return [name for name, _ in self.evaluation_sets()]

    def _datasets_of(self, verb: str | None = None) -> Sequence[ImageDataset]:
        """Return the data sets of a verb; default: the running one."""
        if verb is None:
            running = None if self.trainer is None else self.trainer.state.fn
            verb = "fit" if running is None else str(running.value)
        if verb == "predict":
            if self.predict is None:
                raise UserError(f"data.predict is not given; expected a data set, such as {self.predict_example}")
            return [self.predict]
        evaluated = [dataset for _, dataset in self.evaluation_sets()]
        return [*self.training_sets(), *evaluated] if verb == "fit" else evaluated

    def check(self, verb: str) -> None:
        """Check within seconds that the data of a verb exist, before a network is built and weights are downloaded.

        Raises:
            UserError: something is missing or cannot be used.
        """
        for dataset in self._datasets_of(verb):
            dataset.check()

    def prepare_data(self) -> None:
        """Prepare all data sets; Lightning calls this in one process."""
        prepare_sets(self._datasets_of())

    def setup(self, stage: str) -> None:
        """Check that no data set is empty, and build the training set, which reads annotations but no images."""
        for dataset in self._datasets_of():
            if len(dataset) == 0:
                raise UserError(f"data set {type(dataset).__name__} is empty; expected at least one image")
            self.check_dataset(dataset)
        if stage == "fit":
            self.training_set = self.build_training_set()

    def _rank_and_world(self) -> tuple[int, int]:
        """Return the number of this process and the number of processes; 0 and 1 without a trainer.

        Raises:
            UserError: Lightning would distribute the samples a second time.
        """
        trainer = self.trainer
        if trainer is None:
            return 0, 1
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise UserError(
                "trainer.use_distributed_sampler is true; set it to false: the data module distributes the samples"
            )
        return trainer.global_rank, trainer.world_size

    def _loader(self, dataset: Dataset, workers: int, **options: Any) -> DataLoader:
        if workers == 0 and (os.cpu_count() or 1) <= 2:
            cv2.setNumThreads(0)  # leaves the cores to training
        return DataLoader(
            dataset,
            num_workers=workers,
            worker_init_fn=init_worker,
            pin_memory=torch.cuda.is_available(),
            # A generator of its own: otherwise each pass would advance the global one, and resuming would not be exact.
            generator=torch.Generator().manual_seed(self.seed),
            **options,
        )

    def train_dataloader(self) -> DataLoader:
        """Return the loader of training batches."""
        assert self.training_set is not None, "setup comes first"
        assert self.steps_per_epoch is not None
        rank, world = self._rank_and_world()
        trainer = self.trainer
        sampler = StepSampler(
            self.batch_size,
            self.steps_per_epoch,
            rank,
            world,
            first_step=lambda: 0 if trainer is None else trainer.global_step,
            **self.image_needs(),
        )
        return self._loader(
            self.training_set,
            self.num_workers,
            batch_sampler=sampler,
            collate_fn=type(self).collate_training,
            persistent_workers=self.num_workers > 0,
        )

    def _evaluation_loader(self, dataset: Any) -> DataLoader:
        rank, world = self._rank_and_world()
        return self._loader(
            self.evaluation_crops(dataset),
            min(self.num_workers, 1 + len(dataset) // 200),  # starting a process does not pay for few images
            batch_size=self.evaluation_batch_size,
            sampler=ShareSampler(len(dataset), rank, world),
            collate_fn=type(self).collate_evaluation,
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Return the loaders of validation, then of the test sets."""
        return [self._evaluation_loader(dataset) for _, dataset in self.evaluation_sets()]

    def test_dataloader(self) -> list[DataLoader]:
        """Return the loaders of :meth:`val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader:
        """Return the loader of the images to predict."""
        assert self.predict is not None
        return self._evaluation_loader(self.predict)

"""Lightning data module: a mixture of training sets, and evaluation sets."""

import math
from collections.abc import Iterable, Sequence

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from hamipose.data.loading import check_sizes, evaluation_loader, loader, prepare_sets, rank_and_world, running_verb
from hamipose.data.sampling import StepSampler
from hamipose.errors import UserError
from meshtto.data.augmentation import Augmentation
from meshtto.data.base import MeshDataset
from meshtto.data.sampling import MeshCrops, MeshTrainingDataset, Mixture, collate

__all__ = ["MeshData"]


class MeshData(LightningDataModule):
    """Data of human mesh recovery.

    An epoch is a number of steps. The people of a step and their augmentation depend only on the seed and the step.

    Args:
        train: training sets.
        shares: relative frequency of each of them; default: proportional to their sizes.
        validation: people by which checkpoints may be selected.
        test: test sets by name; nothing may be selected by their scores.
        predict: people for the verb `predict`.
        height: height of the crops in pixels. With 256 × 192 the crop shows CLIFF's box, with a square SPIN's.
        width: width of the crops in pixels.
        batch_size: people per step, over all processes.
        evaluation_batch_size: people per batch and process in evaluation.
        steps_per_epoch: steps per epoch; null means as many as one pass over the largest training set takes, which is
            known after `setup`.
        num_workers: data loading processes; 0 loads in the training process.
        augmentation: ranges of augmentation; default: those of the papers.
        augment: whether to augment in training.
        occluders: ``pascal_occluders.npy``; default: drawn occluders. Only sets that ask for occluders get them.
        seed: random seed.
    """

    def __init__(
        self,
        train: list[MeshDataset] | None = None,
        shares: list[float] | None = None,
        validation: MeshDataset | None = None,
        test: dict[str, MeshDataset] | None = None,
        predict: MeshDataset | None = None,
        height: int = 256,
        width: int = 192,
        batch_size: int = 40,
        evaluation_batch_size: int = 32,
        steps_per_epoch: int | None = 500,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
        augment: bool = True,
        occluders: str | None = None,
        seed: int = 0,
    ):
        super().__init__()
        check_sizes(
            height=height,
            width=width,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            steps_per_epoch=1 if steps_per_epoch is None else steps_per_epoch,
        )
        check_sizes(0, num_workers=num_workers, seed=seed)
        self.train = list(train or [])
        self.shares = shares
        self.validation = validation
        self.test = test or {}
        self.predict = predict
        self.size = (height, width)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = num_workers
        self.augmentation = (augmentation or Augmentation()) if augment else None
        self.occluders = occluders
        self.seed = seed
        self.stream: MeshTrainingDataset | None = None

    def _evaluated(self) -> Iterable[tuple[str, MeshDataset]]:
        if self.validation is not None:
            yield "val", self.validation
        yield from ((f"test/{name}", dataset) for name, dataset in self.test.items())

    def _needed(self, verb: str | None = None) -> Sequence[MeshDataset]:
        """Return the data sets of a verb; default: the running one."""
        verb = verb or running_verb(self.trainer)
        if verb == "predict":
            if self.predict is None:
                raise UserError("data.predict is not given; expected a data set, such as meshtto.data.BuiltinMeshes")
            return [self.predict]
        evaluated = [dataset for _, dataset in self._evaluated()]
        if verb != "fit":
            return evaluated
        if not self.train:
            raise UserError("data.train is empty, expected at least one data set")
        return [*self.train, *evaluated]

    def check(self, verb: str) -> None:
        """Check quickly that the data of a verb exist; see `hamipose.data.DomainAdaptation.check`."""
        for dataset in self._needed(verb):
            dataset.check()

    def prepare_data(self) -> None:
        """Prepare all data sets; Lightning calls this in one process."""
        prepare_sets(self._needed())

    def setup(self, stage: str) -> None:
        """Build the training stream, which reads annotations but no images."""
        for dataset in self._needed():
            if len(dataset) == 0:
                raise UserError(f"data set {type(dataset).__name__} is empty; expected at least one person")
            self._check_body(dataset)
        if stage != "fit":
            return
        if self.steps_per_epoch is None:
            self.steps_per_epoch = math.ceil(max(map(len, self.train)) / self.batch_size)
        for dataset in self.train:
            dataset.decode_side = 2 * self.size[0]
        self.stream = MeshTrainingDataset(
            Mixture(self.train, self.shares, self.seed),
            self.batch_size,
            self.size,
            self.seed,
            self.augmentation,
            self.occluders,
        )

    def _check_body(self, dataset: MeshDataset) -> None:
        """Check that labels belong to the run's body: coefficients of another body would be wrong without any error."""
        body = getattr(getattr(self.trainer, "lightning_module", None), "body", None)
        name = getattr(body, "name", None)
        if name is not None and dataset.label_body not in (None, name):
            raise UserError(
                f"labels of {type(dataset).__name__} belong to the body {dataset.label_body}, the run's body is {name}; "
                "give the regressor the body of its labels"
            )

    def corrupt_images(self) -> int:
        """Return the number of unreadable images found in training so far."""
        return 0 if self.stream is None else self.stream.mixture.broken

    def _rank_and_world(self) -> tuple[int, int]:
        return rank_and_world(self.trainer)

    def train_dataloader(self) -> DataLoader:
        """Return the loader of training batches."""
        assert self.stream is not None, "setup comes first"
        assert self.steps_per_epoch is not None
        rank, world = self._rank_and_world()
        trainer = self.trainer
        sampler = StepSampler(
            self.batch_size,
            self.steps_per_epoch,
            rank,
            world,
            first_step=lambda: 0 if trainer is None else trainer.global_step,
            wants_target=lambda step: False,
        )
        return loader(
            self.stream,
            self.num_workers,
            self.seed,
            batch_sampler=sampler,
            collate_fn=collate,
            persistent_workers=self.num_workers > 0,
        )

    def _evaluation_loader(self, dataset: MeshDataset) -> DataLoader:
        rank, world = self._rank_and_world()
        return evaluation_loader(
            MeshCrops(dataset, self.size),
            len(dataset),
            self.evaluation_batch_size,
            self.num_workers,
            self.seed,
            rank,
            world,
            collate_fn=collate,
        )

    def evaluation_sets(self) -> list[tuple[str, MeshDataset]]:
        """Return logging prefix and data set of each loader of :meth:`val_dataloader`."""
        return list(self._evaluated())

    def evaluation_names(self) -> list[str]:
        """Return the logging prefixes."""
        return [name for name, _ in self._evaluated()]

    def val_dataloader(self) -> list[DataLoader]:
        """Return the loaders of validation, then test sets."""
        return [self._evaluation_loader(dataset) for _, dataset in self._evaluated()]

    def test_dataloader(self) -> list[DataLoader]:
        """Return the same loaders as :meth:`val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader:
        """Return the loader of the people to predict."""
        assert self.predict is not None
        return self._evaluation_loader(self.predict)

"""A mixture of people to learn from and data sets to evaluate on, as a Lightning data module."""

import math
from collections.abc import Iterable, Sequence

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from hamipose.data.loading import check_sizes, evaluation_loader, loader, prepare_sets, rank_and_world, running_verb
from hamipose.data.stream import StepSampler
from hamipose.errors import InputError
from meshtto.data.augmentation import Augmentation
from meshtto.data.base import MeshDataset
from meshtto.data.sampling import MeshCrops, MeshStream, Mixture, collate

__all__ = ["MeshData"]


class MeshData(LightningDataModule):
    """Data of human mesh recovery.

    An epoch is a number of steps. Which people a step sees, and how they are augmented, depends on the seed and the
    step's number alone.

    Args:
        train: data sets to learn from.
        shares: how often each of them is drawn, relative to the others; by their sizes where not given.
        validation: people by whom checkpoints may be chosen.
        report: test sets by name; their scores are reported and must choose nothing.
        predict: people for the verb `predict`.
        height: of the crops in pixels. With 256 × 192 the crop shows CLIFF's box, with a square SPIN's.
        width: of the crops in pixels.
        batch_size: people in one step of all processes together.
        evaluation_batch_size: people per process at a time in evaluation.
        steps_per_epoch: steps after which an epoch ends; where null, as many as a pass over the largest set of `train`
            would take, known after `setup`.
        num_workers: loading processes; 0 loads in the training process.
        augmentation: ranges of augmentation; those of the papers where not given.
        augment: whether training augments at all.
        occluders: ``pascal_occluders.npy``; drawn cut-outs where not given. Only sets that ask for occluders get them.
        seed: of all draws.
    """

    def __init__(
        self,
        train: list[MeshDataset] | None = None,
        shares: list[float] | None = None,
        validation: MeshDataset | None = None,
        report: dict[str, MeshDataset] | None = None,
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
        self.report = report or {}
        self.predict = predict
        self.size = (height, width)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = num_workers
        self.augmentation = (augmentation or Augmentation()) if augment else None
        self.occluders = occluders
        self.seed = seed
        self.stream: MeshStream | None = None

    def _evaluated(self) -> Iterable[tuple[str, MeshDataset]]:
        if self.validation is not None:
            yield "val", self.validation
        yield from ((f"report/{name}", dataset) for name, dataset in self.report.items())

    def _needed(self, verb: str | None = None) -> Sequence[MeshDataset]:
        """Return the data sets of a verb; of that at hand by default."""
        verb = verb or running_verb(self.trainer)
        if verb == "predict":
            if self.predict is None:
                raise InputError("data.predict is not given; expected a data set, such as meshtto.data.BuiltinMeshes")
            return [self.predict]
        evaluated = [dataset for _, dataset in self._evaluated()]
        if verb != "fit":
            return evaluated
        if not self.train:
            raise InputError("data.train is empty, expected at least one data set")
        return [*self.train, *evaluated]

    def check(self, verb: str) -> None:
        """Check within seconds that the data of a verb are there; see `hamipose.data.DomainAdaptation.check`."""
        for dataset in self._needed(verb):
            dataset.check()

    def prepare_data(self) -> None:
        """Has every data set made ready; Lightning calls it in one process."""
        prepare_sets(self._needed())

    def setup(self, stage: str) -> None:
        """Builds the training stream, which reads annotations but no picture."""
        for dataset in self._needed():
            if len(dataset) == 0:
                raise InputError(f"data set {type(dataset).__name__} is empty; expected at least one person")
            self._check_body(dataset)
        if stage != "fit":
            return
        if self.steps_per_epoch is None:
            self.steps_per_epoch = math.ceil(max(map(len, self.train)) / self.batch_size)
        for dataset in self.train:
            dataset.decode_side = 2 * self.size[0]
        self.stream = MeshStream(
            Mixture(self.train, self.shares, self.seed),
            self.batch_size,
            self.size,
            self.seed,
            self.augmentation,
            self.occluders,
        )

    def _check_body(self, dataset: MeshDataset) -> None:
        """Coefficients of one body are nonsense on another, and no error would follow from it."""
        body = getattr(getattr(self.trainer, "lightning_module", None), "body", None)
        name = getattr(body, "name", None)
        if name is not None and dataset.labels_of not in (None, name):
            raise InputError(
                f"labels of {type(dataset).__name__} belong to the body {dataset.labels_of}, the run's body is {name}; "
                "give the regressor the body of its labels"
            )

    def corrupt_images(self) -> int:
        """Pictures found unreadable in training so far."""
        return 0 if self.stream is None else self.stream.mixture.broken

    def _rank_and_world(self) -> tuple[int, int]:
        return rank_and_world(self.trainer)

    def train_dataloader(self) -> DataLoader:
        """Batches of `MeshBatch`."""
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
        """Prefix under which scores are logged, and data set, of each loader of :meth:`val_dataloader`."""
        return list(self._evaluated())

    def evaluation_names(self) -> list[str]:
        """The prefixes alone."""
        return [name for name, _ in self._evaluated()]

    def val_dataloader(self) -> list[DataLoader]:
        """Validation first, then the report sets."""
        return [self._evaluation_loader(dataset) for _, dataset in self._evaluated()]

    def test_dataloader(self) -> list[DataLoader]:
        """The same as :meth:`val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader:
        """The people to predict."""
        assert self.predict is not None
        return self._evaluation_loader(self.predict)

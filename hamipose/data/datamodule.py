"""One labeled source, any number of unlabeled targets, and what to evaluate on, as a Lightning data module."""

from collections.abc import Iterable, Sequence

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from hamipose.data.base import ImageDataset, KeypointDataset, UnlabeledDataset
from hamipose.data.evaluation_set import PlainCrops, collate_evaluation
from hamipose.data.loading import check_sizes, evaluation_loader, loader, prepare_sets, rank_and_world, running_verb
from hamipose.data.predicted import PredictedKeypoints
from hamipose.data.sampling import Pool, StepSampler, TrainingDataset, collate_training
from hamipose.data.views import Views, get_views
from hamipose.errors import UserError
from hamipose.skeletons import Skeleton

__all__ = ["DomainAdaptation"]


class DomainAdaptation(LightningDataModule):
    """Data of unsupervised domain adaptation.

    An epoch is a number of steps, not a pass over the data. Which samples a step sees, and how they are augmented,
    depends on the seed and the step's number alone.

    Args:
        source: labeled images to learn from.
        target: unlabeled images to adapt to: ``hamipose.data.ImageFolder``, or a labeled set inside
            ``hamipose.data.Unlabeled``; either may be wrapped in ``hamipose.data.PredictedKeypoints``. May be left out
            for a method that learns from the source alone.
        validation: labeled images of the *source* domain, by which checkpoints may be chosen.
        test: labeled test sets of the target domain by name; their scores are reported and must choose nothing.
        predict: images for the verb `predict`.
        image_size: side of the square crops in pixels; a multiple of the backbone's stride.
        batch_size: source images, and as many target images, in one step of all processes together.
        evaluation_batch_size: images per process at a time in evaluation.
        steps_per_epoch: steps after which an epoch ends.
        num_workers: loading processes; 0 loads in the training process.
        source_views: augmentation of the source: a preset of ``hamipose.data.views`` or ranges of your own. A list of
            several makes as many domains of the one source, for methods that compare domains: the places of a batch
            take them in turn.
        student_views: augmentation of the target for the student.
        teacher_views: augmentation of the target for the teacher; "same" gives it the very image that the student sees.
        seed: of all draws.
    """

    def __init__(
        self,
        source: KeypointDataset,
        target: Dataset | list[Dataset] | None = None,
        validation: KeypointDataset | None = None,
        test: dict[str, KeypointDataset] | None = None,
        predict: KeypointDataset | UnlabeledDataset | None = None,
        image_size: int = 256,
        batch_size: int = 32,
        evaluation_batch_size: int = 32,
        steps_per_epoch: int = 500,
        num_workers: int = 2,
        source_views: Views | str | list[Views | str] = "hamipose",
        student_views: Views | str = "hamipose",
        teacher_views: Views | str = "none",
        seed: int = 0,
    ):
        super().__init__()
        self.source = source
        self.target: list[UnlabeledDataset] = []
        given = [] if target is None else target if isinstance(target, (list, tuple)) else [target]
        for position, dataset in enumerate(given):
            if isinstance(dataset, UnlabeledDataset):
                self.target.append(dataset)
            else:
                name = type(dataset).__name__
                labels = (
                    "carries labels, which adaptation must not see"
                    if isinstance(dataset, KeypointDataset)
                    else ("is no set of unlabeled images")
                )
                raise UserError(
                    f"data.target[{position}] is {name}, which {labels}; expected hamipose.data.Unlabeled with "
                    f"{name} as its dataset, or hamipose.data.ImageFolder"
                )
        carrying = [dataset for dataset in self.target if isinstance(dataset, PredictedKeypoints)]
        if carrying and len(carrying) < len(self.target):
            raise UserError(
                f"{len(carrying)} of {len(self.target)} sets of data.target carry predicted keypoints; expected all of "
                "them, or none"
            )
        #: Whether the target carries predicted keypoints.
        self.target_predictions = bool(carrying)
        self.validation = validation
        self.test = test or {}
        self.predict = predict
        check_sizes(
            image_size=image_size,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            steps_per_epoch=steps_per_epoch,
        )
        check_sizes(0, num_workers=num_workers, seed=seed)
        self.image_size = image_size
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_workers = num_workers
        self.source_views: Views | list[Views]
        if isinstance(source_views, (list, tuple)):
            if not source_views or batch_size % len(source_views):
                raise UserError(
                    f"data.source_views has {len(source_views)} entries and data.batch_size is {batch_size}: expected "
                    "at least one entry, and a batch that they can share evenly"
                )
            self.source_views = [get_views(look) for look in source_views]
        else:
            self.source_views = get_views(source_views)
        self.student_views = get_views(student_views)
        self.teacher_views = None if teacher_views == "same" else get_views(teacher_views)
        self.seed = seed
        self.stream: TrainingDataset | None = None
        skeletons: Iterable[tuple[str, KeypointDataset | PredictedKeypoints]]
        skeletons = [*self._labeled(), *(("target", dataset) for dataset in carrying)]
        for role, dataset in skeletons:
            if dataset.skeleton != self.skeleton:
                raise UserError(
                    f"data.{role} has the keypoints of {dataset.skeleton.name}, data.source those of "
                    f"{self.skeleton.name}; give all of them one skeleton"
                )

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints of every labeled set here."""
        return self.source.skeleton

    def _labeled(self) -> Iterable[tuple[str, KeypointDataset]]:
        if self.validation is not None:
            yield "validation", self.validation
        yield from ((f"test.{name}", dataset) for name, dataset in self.test.items())

    def _needed(self, verb: str | None = None) -> Sequence[ImageDataset]:
        """Return the data sets of a verb; of that at hand by default."""
        verb = verb or running_verb(self.trainer)
        if verb == "predict":
            if self.predict is None:
                raise UserError(
                    "data.predict is not given; expected a data set, such as class_path: hamipose.data.ImageFolder "
                    "with root: FOLDER"
                )
            return [self.predict]
        evaluated = [dataset for _, dataset in self._labeled()]
        return [self.source, *self.target, *evaluated] if verb == "fit" else evaluated

    def check(self, verb: str) -> None:
        """Check within seconds that the data of a verb are there, before a network is built and weights are fetched.

        Raises:
            UserError: something is missing or cannot be used.
        """
        for dataset in self._needed(verb):
            dataset.check()

    def prepare_data(self) -> None:
        """Has every data set made ready; Lightning calls it in one process."""
        prepare_sets(self._needed())

    def setup(self, stage: str) -> None:
        """Builds the training stream, which reads annotations but no picture."""
        for dataset in self._needed():
            if len(dataset) == 0:
                raise UserError(f"data set {type(dataset).__name__} is empty; expected at least one image")
        if stage != "fit":
            return
        for trained_on in (self.source, *self.target):
            trained_on.decode_side = 2 * self.image_size
        self.stream = TrainingDataset(
            source=Pool([self.source], self.seed, stream=0),
            target=Pool(self.target, self.seed, stream=1) if self.target else None,
            mirror=self.skeleton.mirror,
            batch_size=self.batch_size,
            size=self.image_size,
            seed=self.seed,
            source_views=self.source_views,
            student_views=self.student_views,
            teacher_views=self.teacher_views,
        )

    def corrupt_images(self) -> int:
        """Pictures found unreadable in training so far."""
        if self.stream is None:
            return 0
        found = int(self.stream.source.broken.sum())
        return found if self.stream.target is None else found + int(self.stream.target.broken.sum())

    def _rank_and_world(self) -> tuple[int, int]:
        return rank_and_world(self.trainer)

    def train_dataloader(self) -> DataLoader:
        """Batches of `TrainBatch`."""
        rank, world = self._rank_and_world()
        trainer = self.trainer
        method = None if trainer is None else trainer.lightning_module
        wants_target = getattr(method, "wants_target", None)
        sampler = StepSampler(
            self.batch_size,
            self.steps_per_epoch,
            rank,
            world,
            first_step=lambda: 0 if trainer is None else trainer.global_step,
            wants_target=wants_target or (lambda step: bool(self.target)),
            wants_source=getattr(method, "wants_source", None),
        )
        assert self.stream is not None, "setup comes first"
        return loader(
            self.stream,
            self.num_workers,
            self.seed,
            batch_sampler=sampler,
            collate_fn=collate_training,
            persistent_workers=self.num_workers > 0,
        )

    def _evaluation_loader(self, dataset: KeypointDataset | UnlabeledDataset) -> DataLoader:
        rank, world = self._rank_and_world()
        return evaluation_loader(
            PlainCrops(dataset, self.image_size, len(self.skeleton)),
            len(dataset),
            self.evaluation_batch_size,
            self.num_workers,
            self.seed,
            rank,
            world,
            collate_fn=collate_evaluation,
        )

    def evaluation_names(self) -> list[str]:
        """Name of each loader of :meth:`val_dataloader`, and the prefix under which its scores are logged."""
        return ["val"] * (self.validation is not None) + [f"test/{name}" for name in self.test]

    def val_dataloader(self) -> list[DataLoader]:
        """Source validation first, then the test sets."""
        return [self._evaluation_loader(dataset) for _, dataset in self._labeled()]

    def test_dataloader(self) -> list[DataLoader]:
        """The same as :meth:`val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader:
        """The images to predict on."""
        assert self.predict is not None
        return self._evaluation_loader(self.predict)

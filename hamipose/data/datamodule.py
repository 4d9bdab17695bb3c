"""Lightning data module of domain adaptation: a labeled source, unlabeled targets, and evaluation sets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch.utils.data import Dataset

from hamipose.data.base import ImageDataset, KeypointDataset, UnlabeledDataset
from hamipose.data.base_datamodule import BaseDataModule
from hamipose.data.evaluation_set import PlainCrops, collate_evaluation
from hamipose.data.predicted import PredictedKeypoints
from hamipose.data.sampling import Pool, TrainingDataset, collate_training
from hamipose.data.views import Views, get_views
from hamipose.errors import UserError
from hamipose.skeletons import Skeleton

__all__ = ["DomainAdaptation"]


def _check_targets(target: Dataset | Sequence[Dataset] | None) -> list[UnlabeledDataset]:
    """Return the target sets as a list.

    Raises:
        UserError: one of them has labels, or is not a set of images; or some have predicted keypoints and others not.
    """
    datasets = [] if target is None else target if isinstance(target, (list, tuple)) else [target]
    checked: list[UnlabeledDataset] = []
    for position, dataset in enumerate(datasets):
        if not isinstance(dataset, UnlabeledDataset):
            name = type(dataset).__name__
            fault = (
                "has labels, which adaptation must not see"
                if isinstance(dataset, KeypointDataset)
                else "is not a set of unlabeled images"
            )
            raise UserError(
                f"data.target[{position}] is {name}, which {fault}; expected hamipose.data.Unlabeled with {name} as "
                "its dataset, or hamipose.data.ImageFolder"
            )
        checked.append(dataset)
    predicted = sum(isinstance(dataset, PredictedKeypoints) for dataset in checked)
    if 0 < predicted < len(checked):
        raise UserError(
            f"{predicted} of {len(checked)} sets of data.target have predicted keypoints; expected all of them, or none"
        )
    return checked


class DomainAdaptation(BaseDataModule):
    """Data of unsupervised domain adaptation.

    An epoch is a number of steps, not a pass over the data. The samples of a step and their augmentation depend only on
    the seed and the step.

    Args:
        source: labeled images to learn from.
        target: unlabeled images to adapt to: ``hamipose.data.ImageFolder``, or a labeled set inside
            ``hamipose.data.Unlabeled``; either may be wrapped in ``hamipose.data.PredictedKeypoints``. Default: None,
            for a method that learns from the source only.
        validation: labeled images of the *source* domain, by which checkpoints may be selected.
        test: labeled test sets of the target domain by name; nothing may be selected by their scores.
        predict: images for the verb `predict`.
        image_size: side of the square crops in pixels; a multiple of the backbone's stride.
        batch_size: source images per step, and as many target images, over all processes.
        evaluation_batch_size: images per batch and process in evaluation.
        steps_per_epoch: steps per epoch.
        num_workers: data loading processes; 0 loads in the training process.
        source_views: augmentation of the source: a preset of ``hamipose.data.views`` or custom ranges. A list of
            several makes as many domains of the source, for methods that compare domains: the positions of a batch
            take them in turn.
        student_views: augmentation of the target for the student.
        teacher_views: augmentation of the target for the teacher; "same" gives it the view of the student.
        seed: random seed.

    Attributes:
        target_predictions: whether the target sets have predicted keypoints.
    """

    predict_example = "class_path: hamipose.data.ImageFolder with root: FOLDER"
    collate_training = collate_training
    collate_evaluation = collate_evaluation

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
        targets = _check_targets(target)
        super().__init__(
            validation,
            test,
            predict,
            {"image_size": image_size},
            batch_size,
            evaluation_batch_size,
            steps_per_epoch,
            num_workers,
            seed,
        )
        self.source = source
        self.target = targets
        self.target_predictions = any(isinstance(dataset, PredictedKeypoints) for dataset in targets)
        self.image_size = image_size
        self.source_views: Views | list[Views]
        if isinstance(source_views, (list, tuple)):
            if not source_views or batch_size % len(source_views):
                raise UserError(
                    f"data.source_views has {len(source_views)} entries and data.batch_size is {batch_size}; expected "
                    "at least one entry, and a batch size that is a multiple of their number"
                )
            self.source_views = [get_views(views) for views in source_views]
        else:
            self.source_views = get_views(source_views)
        self.student_views = get_views(student_views)
        self.teacher_views = None if teacher_views == "same" else get_views(teacher_views)
        self._check_skeletons()

    def _check_skeletons(self) -> None:
        datasets: Iterable[tuple[str, Any]] = [
            *([] if self.validation is None else [("validation", self.validation)]),
            *((f"test.{name}", dataset) for name, dataset in self.test.items()),
            *(("target", dataset) for dataset in self.target if isinstance(dataset, PredictedKeypoints)),
        ]
        for option, dataset in datasets:
            if dataset.skeleton != self.skeleton:
                raise UserError(
                    f"data.{option} has the keypoints of {dataset.skeleton.name}, data.source those of "
                    f"{self.skeleton.name}; give all of them one skeleton"
                )

    @property
    def skeleton(self) -> Skeleton:
        """Return the skeleton of all labeled sets."""
        return self.source.skeleton

    def training_sets(self) -> Sequence[ImageDataset]:
        """Return the source and the target sets."""
        return [self.source, *self.target]

    def build_training_set(self) -> TrainingDataset:
        """Return the training samples: a labeled source view and two views of a target image."""
        for dataset in self.training_sets():
            dataset.decode_side = 2 * self.image_size
        return TrainingDataset(
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

    def evaluation_crops(self, dataset: KeypointDataset | UnlabeledDataset) -> PlainCrops:
        """Return the crops of an evaluation set without augmentation."""
        return PlainCrops(dataset, self.image_size, len(self.skeleton))

    def image_needs(self) -> dict[str, Callable[[int], bool]]:
        """Return at which steps the method uses source and target images; default: always, if there is a target."""
        method = None if self.trainer is None else self.trainer.lightning_module
        needs = {"uses_target": getattr(method, "uses_target", None) or (lambda step: bool(self.target))}
        uses_source = getattr(method, "uses_source", None)
        return needs if uses_source is None else {**needs, "uses_source": uses_source}

    def corrupt_images(self) -> int:
        """Return the number of unreadable images found in training so far."""
        return 0 if self.training_set is None else self.training_set.unreadable_count()

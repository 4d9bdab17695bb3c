"""Lightning data module: a mixture of training sets, and evaluation sets."""

import math
from collections.abc import Sequence

from hamipose.data.base_datamodule import BaseDataModule
from hamipose.errors import UserError
from meshtto.data.augmentation import Augmentation
from meshtto.data.base import MeshDataset
from meshtto.data.sampling import MeshCrops, MeshTrainingDataset, Mixture, PeopleBatches, collate, collate_training

__all__ = ["MeshData"]


class MeshData(BaseDataModule):
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

    predict_example = "meshtto.data.BuiltinMeshes"
    collate_training = collate_training
    collate_evaluation = collate

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
        super().__init__(
            validation,
            test,
            predict,
            {"height": height, "width": width},
            batch_size,
            evaluation_batch_size,
            steps_per_epoch,
            num_workers,
            seed,
        )
        self.train = list(train or [])
        self.shares = shares
        self.size = (height, width)
        self.augmentation = (augmentation or Augmentation()) if augment else None
        self.occluders = occluders

    def training_sets(self) -> Sequence[MeshDataset]:
        """Return the training sets."""
        if not self.train:
            raise UserError("data.train is empty, expected at least one data set")
        return self.train

    def check_dataset(self, dataset: MeshDataset) -> None:
        """Check that labels belong to the run's body, and that keypoints exist if the network reads them.

        Without these checks, results would be wrong without any error.
        """
        method = getattr(self.trainer, "lightning_module", None)
        name = getattr(getattr(method, "body", None), "name", None)
        if getattr(getattr(method, "regressor", None), "reads_keypoints", False) and dataset.evidence == "none":
            raise UserError(
                f"evidence of {type(dataset).__name__} is none, but a lifter reads 2D evidence; expected "
                "truth or detector"
            )
        if name is not None and dataset.label_body not in (None, name):
            raise UserError(
                f"labels of {type(dataset).__name__} belong to the body {dataset.label_body}, the run's body is "
                f"{name}; give the regressor the body of its labels"
            )

    def build_training_set(self) -> MeshTrainingDataset:
        """Return the augmented crops, and set `steps_per_epoch` if it was None.

        A method that asks for it (`has_auxiliary_batches`) gets a second crop per position, in another order.
        """
        if self.steps_per_epoch is None:
            self.steps_per_epoch = math.ceil(max(map(len, self.train)) / self.batch_size)
        for dataset in self.train:
            dataset.decode_side = 2 * self.size[0]
        mixture = Mixture(self.train, self.shares, self.seed)
        method = getattr(self.trainer, "lightning_module", None)
        paired = getattr(method, "has_auxiliary_batches", False)
        second = Mixture(self.train, self.shares, self.seed + 1) if paired else None
        made = MeshTrainingDataset if len(self.train) > 1 or self.train[0].has_images else PeopleBatches
        return made(mixture, self.batch_size, self.size, self.augmentation, self.occluders, second)

    def evaluation_crops(self, dataset: MeshDataset) -> MeshCrops:
        """Return the crops of an evaluation set without augmentation."""
        return MeshCrops(dataset, self.size)

    def corrupt_images(self) -> int:
        """Return the number of unreadable images found in training so far."""
        return 0 if self.training_set is None else self.training_set.unreadable_count()

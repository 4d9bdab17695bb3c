"""A method: source training on the keypoints with the largest losses.

Put this file into the folder where you call ``python -m hamipose`` and name the class in a config::

    model: {class_path: own_method.LargestLosses, init_args: {optimizer: {class_path: torch.optim.AdamW}, count: 2}}
"""

import tempfile

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.cli import OptimizerCallable
from own_dataset import Squares

from hamipose.data.datamodule import DomainAdaptation
from hamipose.evaluation.diagnostics import StepResult
from hamipose.methods.base import PoseMethod
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.types import TrainBatch


class LargestLosses(PoseMethod):
    """Minimize the largest keypoint losses of each step; evaluation and exact resume come from the base class.

    Args:
        optimizer: creates the optimizer from parameters.
        network: options of the pose network.
        training: options of training.
        count: number of keypoints that count in a step.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        network: NetworkOptions = NetworkOptions(),  # noqa: B008  frozen
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        count: int = 2,
    ):
        super().__init__(network, optimizer, training)
        self.count = count

    def objective(self, batch: TrainBatch) -> StepResult:
        losses = self.forward_source(batch.source).losses  # one value per keypoint
        return StepResult(losses.topk(self.count).values.sum(), losses)


if __name__ == "__main__":
    network = NetworkOptions(skeleton="square4", backbone="test_resnet", deconv_channels=[8, 8, 8])
    method = LargestLosses(lambda parameters: torch.optim.AdamW(parameters, lr=1e-3), network)
    data = DomainAdaptation(
        source=Squares(16), validation=Squares(4, seed=1), image_size=32, batch_size=4, steps_per_epoch=3, num_workers=0
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(method, data)
    scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    print(scores)
    assert trainer.global_step == 3
    assert "val/pck" in scores

"""CC-SSL: renewal of labels, discarded labels, and the target loss."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.geometry.affine import apply_points
from hamipose.heatmaps import encode
from hamipose.methods import CCSSL
from hamipose.methods.ccssl import CurriculumOptions
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.models.preprocess import normalize

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def data_of(dots: Path) -> DomainAdaptation:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    return DomainAdaptation(
        light, [Unlabeled(dark)], image_size=32, batch_size=4, steps_per_epoch=2, num_workers=0, student_views="strong"
    )


def test_labels_are_renewed_and_more_are_used_over_epochs(dots: Path, tmp_path: Path):
    made, checked = [], []

    class Spy(CCSSL):
        def objective(self, batch):
            before = self.labels.stage
            objective = super().objective(batch)
            if batch.target is not None and self.labels.stage != before:
                names = sorted(self.labels._row)
                believed = self.labels.lookup(names, torch.device("cpu"))[1]
                made.append((self.global_step, len(names), float(believed.float().mean())))
            if batch.target is not None and len(checked) < 2:
                checked.append(self.by_hand(batch) - objective.target.sum())
            return objective

        def by_hand(self, batch):
            """½ mean squared error over the used keypoints inside the student's view, for each keypoint."""
            target = batch.target
            keypoints_px, believed = self.labels.lookup(target.name, torch.device("cpu"))
            heatmaps = self.network.final(self.network.features(normalize(target.student)))
            total = torch.zeros(())
            for image in range(4):
                mirror = self.skeleton.mirror if target.student_mirrored[image] else list(range(16))
                for k in range(16):
                    if believed[image, mirror[k]]:
                        point = apply_points(target.student_matrix[image], keypoints_px[image, mirror[k]][None])
                        if point.min() >= -0.5 and point.max() <= 31.5:
                            label = encode(point, (32, 32))[0]
                            total = total + 0.5 * (heatmaps[image, k] - label).square().sum()
            return total / heatmaps.numel()

    curriculum = CurriculumOptions(refresh_epochs=2, first=0.75, per_epoch=0.125, last=0.5, views=2)
    model = Spy(sgd, TINY, TrainingOptions(warmup_steps=0), curriculum=curriculum, pretrain_steps=2)
    trainer = Trainer(
        max_epochs=7, accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data_of(dots))
    assert [step for step, *_ in made] == [2, 6, 10]  # after an epoch of pretraining, every other epoch
    assert all(count == 16 for _, count, _ in made)
    assert [share for *_, share in made] == pytest.approx([0.25, 0.5, 0.5], abs=0.01)
    assert all(abs(float(off)) < 1e-6 for off in checked)
    assert model.network.training


def test_learning_rate_is_constant():
    model = CCSSL(sgd, TINY, TrainingOptions(warmup_steps=2))
    assert [model.learning_rate(step, 10.0) for step in (0, 1, 5, 9)] == [0.5, 1, 1, 1]

"""RegDA: one step compared with the paper's three optimizers."""

import copy
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.errors import UserError
from hamipose.heatmaps import encode
from hamipose.losses import heatmap_kl
from hamipose.methods import RegDA
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.pseudo_labels import ground_false, rectify
from hamipose.models.network import LogDensityNetwork
from hamipose.models.preprocess import normalize

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
FACTORS = {"backbone": 0.1, "deconv": 0.1, "final": 1.0, "adversarial": 1.0}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)


def data_of(dots: Path, steps: int, target: bool = True) -> DomainAdaptation:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    return DomainAdaptation(
        light, [Unlabeled(dark)] if target else None, image_size=32, batch_size=4, steps_per_epoch=steps, num_workers=0
    )


def trainer_in(folder: Path) -> Trainer:
    return Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip


def test_steps_equal_three_optimizers(dots: Path, tmp_path: Path):
    torch.manual_seed(0)
    training = TrainingOptions(warmup_steps=0, lr_factors=FACTORS)
    model = RegDA(sgd, TINY, training, margin=3.0, target_weight=0.7, reversal=0.5, reversal_steps=2)
    torch.nn.init.normal_(model.network.final.weight, std=0.5)
    torch.nn.init.normal_(model.adversarial[-1].weight, std=0.5)
    network, adversarial = copy.deepcopy(model.network), copy.deepcopy(model.adversarial)
    trainer = trainer_in(tmp_path)
    trainer.fit(model, data_of(dots, steps=3))
    assert trainer.global_step == 3  # not nine

    features = [*network.backbone.parameters(), *network.deconv.parameters()]
    of_features, of_head, of_adversarial = (
        torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3)
        for parameters, lr in ((features, 0.01), (network.final.parameters(), 0.1), (adversarial.parameters(), 0.1))
    )
    everything = (of_features, of_head, of_adversarial)
    bases = [optimizer.param_groups[0]["lr"] for optimizer in everything]
    network.train(), adversarial.train()
    again = data_of(dots, steps=3)
    again.prepare_data()
    again.setup("fit")
    for step, batch in enumerate(again.train_dataloader()):
        slope = 2 * 0.5 / (1 + torch.tensor(-step / 2).exp()) - 0.5
        for optimizer, base in zip(everything, bases, strict=True):
            optimizer.param_groups[0]["lr"] = base * (1 + 1e-4 * step) ** -0.75

        def seen(images, slope=slope):
            found = network.features(normalize(images))
            passed = slope * found + (1 - slope) * found.detach()  # value f, gradient λ
            return network.final(found), adversarial(passed)

        def step_of(loss, *optimizers):
            for optimizer in everything:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

        visible = batch.source.visibility > 0
        truth = encode(batch.source.keypoints_px, (32, 32), visible=visible)
        mine, other = seen(batch.source.image)
        loss = heatmap_kl(mine, truth, visible.float()).sum()
        loss = loss + 3.0 * 0.7 * heatmap_kl(other, rectify(mine), visible.float(), epsilon=1e-7).sum()
        step_of(loss, *everything)
        statistics = {k: v.clone() for k, v in network.named_buffers()}  # our method passes the target once, not twice
        mine, other = seen(batch.target.student)
        step_of(0.7 * heatmap_kl(other, ground_false(rectify(mine)), epsilon=1e-7).sum(), of_adversarial)
        for name, buffer in network.named_buffers():
            buffer.copy_(statistics[name])
        mine, other = seen(batch.target.student)
        step_of(0.7 * heatmap_kl(other, rectify(mine), epsilon=1e-7).sum(), of_features)
    for ours, theirs in ((model.network, network), (model.adversarial, adversarial)):
        wanted = theirs.state_dict()
        for name, tensor in ours.state_dict().items():
            torch.testing.assert_close(tensor, wanted[name], rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_pretraining_uses_only_the_source_and_the_first_head(dots: Path, tmp_path: Path):
    class Stop(Exception):
        pass

    class Until(RegDA):
        def training_step(self, batch, batch_idx):
            if self.global_step == 4:
                raise Stop
            super().training_step(batch, batch_idx)

    model = Until(sgd, TINY, TrainingOptions(warmup_steps=0), pretrain_steps=4)
    before = copy.deepcopy(dict(model.adversarial.named_parameters()))
    with pytest.raises(Stop):
        trainer_in(tmp_path).fit(model, data_of(dots, steps=5))
    assert all(torch.equal(before[name], p) for name, p in model.adversarial.named_parameters())
    assert [model.uses_target(step) for step in (3, 4)] == [False, True]


def test_missing_target_is_rejected(dots: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"RegDA adapts to a target, and data\.target is not set"):
        trainer_in(tmp_path).fit(RegDA(sgd, TINY), data_of(dots, steps=1, target=False))


def test_reduction_sum_is_rejected():
    with pytest.raises(UserError, match=r"training\.reduction is sum; RegDA"):
        RegDA(sgd, TINY, TrainingOptions(reduction="sum"))


def test_learning_rate_follows_both_schedules():
    model = RegDA(sgd, TINY, TrainingOptions(warmup_steps=0), pretrain_steps=70)
    rates = [model.learning_rate(step, 200.0) for step in (0, 44, 45, 59, 60, 70, 10070)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 1, 2**-0.75])


def test_density_peaks_at_one_where_the_log_density_does():
    maps = torch.randn(2, 3, 8, 8) * 5 - 20

    class Fixed(torch.nn.Module):
        def forward(self, images):
            return maps

    found = LogDensityNetwork(Fixed())(torch.zeros(2, 3, 32, 32))
    assert torch.equal(found.amax((2, 3)), torch.ones(2, 3))
    softmax = maps.flatten(2).softmax(-1).view_as(maps)
    torch.testing.assert_close(found / found.sum((2, 3), keepdim=True), softmax)

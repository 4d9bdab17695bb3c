"""SFHPE: the losses of the three copies, and no source image is read during adaptation."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hamipose.data import CocoKeypoints
from hamipose.data.sampling import BatchPosition, TrainingDataset
from hamipose.methods import SFHPE, SourceOnly
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.sfhpe import information, marginals, profile_contrast, residual_divergence
from hamipose.models.preprocess import normalize
from hamipose.types import TargetBatch
from tests.helpers.pose_training import train

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def target_batch() -> TargetBatch:
    images = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    same, straight = torch.eye(2, 3).expand(4, 2, 3), torch.zeros(4, dtype=torch.bool)
    return TargetBatch(images[0], images[1], same, same, straight, straight, ["b"] * 4)


def test_adaptation_reads_no_source_image(fit, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train steps 0 to 2 on the source; from step 3 on, reading the source raises."""
    draws = []
    read = TrainingDataset.__getitem__

    def watch(self: TrainingDataset, draw: BatchPosition):
        draws.append((draw.step, draw.with_source, draw.with_target))
        if draw.step < 3:
            return read(self, draw)
        with monkeypatch.context() as patch:
            patch.setattr(CocoKeypoints, "__getitem__", _refuse_the_light_ones(CocoKeypoints.__getitem__))
            return read(self, draw)

    monkeypatch.setattr(TrainingDataset, "__getitem__", watch)
    trainer = fit(dots=dots, out=tmp_path, method="SFHPE", pretrain=3, epochs=2)
    assert trainer.global_step == 10
    for step, with_source, with_target in draws:
        assert with_source == (step < 3)
        assert with_target == (step >= 3)


def _refuse_the_light_ones(read):
    """Return the set `light`, the source of the tiny runs."""

    def refuse(self: CocoKeypoints, index: int):
        assert "light" not in str(self.root), "a source image was read after the switch"
        return read(self, index)

    return refuse


def test_each_loss_trains_its_own_parts():
    model = SFHPE(sgd, TINY, TrainingOptions(reduction="sum"), residual=0.0, contrast=0.0, mutual_information=0.0)
    model.train()
    for net in (model.network, model.source_network, model.intermediate):
        nn.init.normal_(net.final.weight, std=0.3)
    batch = target_batch()
    objective = model.adapt(batch)
    found = dict(zip(model.trainable_parts(), [None] * 6, strict=True))
    grads = torch.autograd.grad(objective.loss, list(model.trainable_parts().parameters()), allow_unused=True)
    named = dict(zip([n for n, _ in model.trainable_parts().named_parameters()], grads, strict=True))
    for part in found:
        assert all(g is not None and g.isfinite().all() for n, g in named.items() if n.split(".")[0] == part), part
        assert any(g.abs().max() > 0 for n, g in named.items() if n.split(".")[0] == part), part
    # Other parts have no gradient: the source's backbone, and all of the intermediate except its backbone.
    trained = {id(p) for p in model.trainable_parts().parameters()}
    assert all(id(p) in trained for p in model.parameters() if p.requires_grad)
    assert not any(p.requires_grad for p in model.source_network.backbone.parameters())
    assert not any(p.requires_grad for p in model.intermediate.final.parameters())


def test_objective_equals_the_equation_of_the_docstring():
    """Compare L_ft + L_in + λ L_tg; each copy has only the gradient of its own loss."""
    betas = {"residual": 3.0, "contrast": 0.2, "mutual_information": 40.0}
    model = SFHPE(sgd, TINY, TrainingOptions(), AdaptationOptions(target_weight=0.5), **betas)
    model.eval()
    copies = (model.source_network, model.intermediate, model.network)
    batch = target_batch()
    for copy in copies:  # maps that are not flat, because some terms would vanish
        nn.init.normal_(copy.final.weight)
        copy.final.weight.data /= copy(normalize(batch.student)).std().detach()
    found = model.adapt(batch)
    sr, between, tg = (copy(normalize(batch.student)) for copy in copies)
    fixed = between.detach()

    def half_mse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return 0.5 * (a - b).square().mean()

    l_ft = half_mse(sr, fixed)
    l_in = half_mse(between, sr.detach()) + 3.0 * residual_divergence(sr.detach(), between)
    l_tg = half_mse(fixed, tg) + 0.2 * profile_contrast(tg, fixed) + 40.0 * information(tg)
    torch.testing.assert_close(found.loss, l_ft + l_in + 0.5 * l_tg, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.source.sum(), l_ft)
    torch.testing.assert_close(found.target.sum(), half_mse(fixed, tg))
    for loss, parts in (
        (l_ft, (model.source_network.deconv, model.source_network.final)),
        (l_in, (model.intermediate.backbone,)),
        (0.5 * l_tg, tuple(model.network.children())),
    ):
        parameters = [p for part in parts for p in part.parameters()]
        mine, theirs = (torch.autograd.grad(v, parameters, retain_graph=True) for v in (found.loss, loss))
        for a, b in zip(mine, theirs, strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-6


def test_equal_copies_have_no_loss():
    model = SFHPE(sgd, TINY, TrainingOptions(), contrast=0.0, mutual_information=0.0)
    nn.init.normal_(model.network.final.weight, std=0.3)
    model.start_adaptation()
    model.eval()  # the same normalization for all
    objective = model.adapt(target_batch())
    assert objective.loss.item() == pytest.approx(0, abs=1e-6)


def test_intermediate_backbone_has_a_tenth_of_the_learning_rate():
    given = SFHPE(sgd, TINY, TrainingOptions()).training_options.lr_factors
    assert given == {
        "backbone": 1.0, "deconv": 1.0, "final": 1.0, "source_deconv": 1.0, "source_final": 1.0,
        "intermediate_backbone": 0.1,
    }  # fmt: skip
    own = dict.fromkeys(given, 0.5)
    assert SFHPE(sgd, TINY, TrainingOptions(lr_factors=own)).training_options.lr_factors == own


def test_all_copies_start_from_init_from(dots: Path, tmp_path: Path):
    learnt = SourceOnly(sgd, TINY)
    nn.init.normal_(learnt.network.final.weight, std=0.3)
    train(learnt, dots, tmp_path).save_checkpoint(tmp_path / "source.ckpt")
    began = []

    class Spy(SFHPE):
        def adapt(self, batch):
            copies = (self.network, self.intermediate, self.source_network)
            began.append([{name: p.clone() for name, p in copy.named_parameters()} for copy in copies])
            return super().adapt(batch)

    model = Spy(sgd, TINY, TrainingOptions(init_from=str(tmp_path / "source.ckpt")))
    train(model, dots, tmp_path, {"steps_per_epoch": 2})
    assert len(began) == 2
    for copy in began[0]:
        assert all(torch.equal(copy[name], p) for name, p in learnt.network.named_parameters())
    assert not model.uses_source(0)
    assert SFHPE(sgd, TINY, adaptation=AdaptationOptions(pretrain_steps=2)).uses_source(1)


# --- the losses


def peaks(*cells: tuple[int, int]) -> torch.Tensor:
    maps = torch.zeros(1, len(cells), 8, 8)
    for k, (y, x) in enumerate(cells):
        maps[0, k, y, x] = 5
    return maps


def test_marginals_peak_at_the_position():
    rows, columns = marginals(peaks((2, 6)))
    assert rows.argmax() == 2
    assert columns.argmax() == 6
    for side in (rows, columns):
        torch.testing.assert_close(side.sum(2), torch.ones(1, 1))


def test_profile_contrast_equals_a_loop_and_prefers_the_same_keypoint():
    maps, target = torch.randn(2, 3, 6, 6), torch.randn(2, 3, 6, 6)
    total = 0.0
    for n in range(2):
        for k in range(3):
            p = [m.sum(d).softmax(0) for m in (maps[n, k],) for d in (1, 0)]
            similarity = []
            for j in range(3):
                q = [target[n, j].sum(d).softmax(0) for d in (1, 0)]
                similarity.append(sum(float(a @ b / a.norm() / b.norm()) for a, b in zip(p, q, strict=True)) / 2)
            total -= float(torch.tensor(similarity[k] / sum(similarity)).log())
    assert profile_contrast(maps, target).item() == pytest.approx(total / 6, rel=1e-4)
    here, swapped = peaks((1, 1), (6, 5)), peaks((6, 5), (1, 1))
    assert profile_contrast(here, here) < profile_contrast(swapped, here)


def test_information_prefers_confident_maps_that_differ_between_images():
    differ = torch.cat([peaks((1, 1)), peaks((6, 5))])
    alike = torch.cat([peaks((1, 1)), peaks((1, 1))])
    assert information(differ) < information(alike)
    assert information(differ) < information(0.2 * differ)


def test_residual_divergence_ignores_the_peaks():
    maps = torch.randn(2, 3, 6, 6)
    taller = maps.clone().flatten(2)
    taller.scatter_(2, taller.argmax(2, keepdim=True), 9.0)
    taller = taller.view_as(maps)
    assert residual_divergence(maps, taller).item() == pytest.approx(0, abs=1e-6)
    elsewhere = maps.clone()
    elsewhere[:, :, 0] += 1
    assert residual_divergence(maps, elsewhere) > 1e-3
    assert residual_divergence(maps, maps).item() == pytest.approx(0, abs=1e-6)

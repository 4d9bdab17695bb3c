"""MDAM: each term of the objective."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

import hamipose
from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.engine.checkpoints import run_folder
from hamipose.engine.optimization import ramp_down, ramp_up
from hamipose.errors import UserError
from hamipose.geometry.affine import compose, invert
from hamipose.heatmaps import encode, warp_heatmaps
from hamipose.methods import MDAM
from hamipose.methods.mdam import MDAMOptions, mixed
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.parts.multi_view import labels_in_student_view
from hamipose.models.preprocess import normalize
from hamipose.types import TrainBatch

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
SMALL = {"refinement_width": 8, "classifier_width": 4, "views": 2}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def data_of(dots: Path, steps: int, teacher_views: str = "none") -> DomainAdaptation:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    return DomainAdaptation(
        light, [Unlabeled(dark)], image_size=32, batch_size=4, steps_per_epoch=steps, num_workers=0,
        student_views="strong", teacher_views=teacher_views,
    )  # fmt: skip


def batch_of(dots: Path) -> TrainBatch:
    """Return a batch whose teacher's view is rotated and mirrored, too."""
    data = data_of(dots, 1, teacher_views="strong")
    data.prepare_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def trained(model: MDAM, dots: Path, folder: Path, steps: int) -> Trainer:
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data_of(dots, steps))
    return trainer


def test_ramps_equal_the_published_code():
    numpy = pytest.importorskip("numpy")
    for epoch in range(25):
        phase = 1 - numpy.clip(epoch, 0, 10) / 10
        assert ramp_up(epoch, 10) == pytest.approx(numpy.exp(-5 * phase * phase))
        assert ramp_down(epoch, 15) == pytest.approx(0.5 * (numpy.cos(numpy.pi * numpy.clip(epoch, 0, 15) / 15) + 1))
    options = MDAMOptions()
    weights = [max(options.initial_last, options.initial * ramp_down(e, options.initial_epochs)) for e in range(20)]
    assert weights[0] == 15
    assert weights[-1] == 8


def test_mixed_has_a_share_per_image():
    mine, other = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    share = torch.tensor([1.0, 0.5, 0.8])
    found = mixed(mine, other, share)
    for image, part in enumerate(share):
        torch.testing.assert_close(found[image], part * mine[image] + (1 - part) * other[image])


def test_both_teachers_have_a_decay_with_warmup(dots: Path, tmp_path: Path):
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), AdaptationOptions(ema_decay=0.6), MDAMOptions(**SMALL))
    students = {"network": model.network, "refinement": model.refinement}
    teachers = {"network": model.adaptation.teacher.network, "refinement": model.refinement_teacher.network}
    expected = {role: [p.clone() for p in student.parameters()] for role, student in students.items()}
    decays = []

    def follow(batch, batch_idx, step=model.training_step):
        step(batch, batch_idx)
        decay = min(1 - 1 / (model.global_step + 1), 0.6)
        decays.append(decay)
        for role, student in students.items():
            for mine, theirs in zip(expected[role], student.parameters(), strict=True):
                mine.mul_(decay).add_((1 - decay) * theirs.detach())

    model.training_step = follow
    trained(model, dots, tmp_path, steps=3)
    assert decays == pytest.approx([1 / 2, 0.6, 0.6])
    for role, teacher in teachers.items():
        for mine, theirs in zip(expected[role], teacher.parameters(), strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)


def test_number_of_keypoints_falls_with_each_epoch(monkeypatch: pytest.MonkeyPatch, dots: Path, tmp_path: Path):
    from hamipose.methods import mdam

    kept = []
    small = mdam.small_losses
    monkeypatch.setattr(mdam, "small_losses", lambda p, t, w, k: kept.append(k) or small(p, t, w, k))
    epochs = iter([0, 3, 50])
    monkeypatch.setattr(MDAM, "epoch_of_adaptation", lambda self: next(epochs))
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), options=MDAMOptions(**SMALL))
    trained(model, dots, tmp_path, steps=3)
    assert kept[::3] == kept[1::3] == kept[2::3] == [16, 15, 9]


def test_pretraining_ends_with_equal_heads_and_equal_teachers(dots: Path, tmp_path: Path):
    class Stop(Exception):
        pass

    class Until(MDAM):
        def training_step(self, batch, batch_idx):
            if self.global_step == 3:
                raise Stop
            super().training_step(batch, batch_idx)

    options = AdaptationOptions(pretrain_steps=3)
    model = Until(sgd, TINY, TrainingOptions(warmup_steps=0), options, MDAMOptions(**SMALL))
    before = {k: v.clone() for k, v in model.classifier.state_dict().items()}
    with pytest.raises(Stop):
        trained(model, dots, tmp_path, steps=4)
    for a, b in (
        (model.refinement.first, model.refinement.second),
        (model.refinement, model.refinement_teacher.network),
    ):
        theirs = b.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())
    assert all(torch.equal(before[k], v) for k, v in model.classifier.state_dict().items())
    assert model.labels.stage == -1


def test_checkpoint_yields_the_refined_teacher(dots: Path, tmp_path: Path):
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), options=MDAMOptions(**SMALL))
    trainer = trained(model, dots, tmp_path, steps=2)
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    teacher, refinement = model.adaptation.teacher.network, model.refinement_teacher.network
    refined = refinement(teacher.pyramid(images)).first
    assert not torch.equal(refined, teacher(images))
    assert torch.equal(model(images), refined)
    trainer.save_checkpoint(run_folder(trainer) / "last.ckpt")
    assert torch.equal(hamipose.load(run_folder(trainer) / "last.ckpt", device="cpu").network(images), refined)


# ------------------------------------------------------------------------------------------------ the objective


class Running:
    """Attributes of a trainer that the objective uses."""

    global_rank, world_size = 0, 1


def half_squared_error(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return ℓ, half the mean of the weighted squares."""
    return 0.5 * (weight * (a - b).square()).mean()


def easiest(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor, kept: int) -> torch.Tensor:
    """Return ℓ_K', the mean over each image's K' smallest losses of keypoints with a label."""
    total = torch.zeros(())
    for mine, theirs, weights in zip(a, b, weight, strict=True):
        losses = [0.5 * w * (m - t).square().mean() for m, t, w in zip(mine, theirs, weights, strict=True) if w > 0]
        total = total + (torch.stack(losses).sort().values[:kept].sum() if losses else 0)
    return total / (len(a) * kept)


def test_objective_equals_the_equation_of_the_docstring(dots: Path, monkeypatch: pytest.MonkeyPatch):
    """Compare all terms and weights; the features ascend the classifier's loss, which the classifier descends."""
    from hamipose.methods import mdam

    shares = torch.tensor([0.9, 0.3, 0.5, 0.2])
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, shape: shares[: shape[0]])
    monkeypatch.setattr(mdam, "total_steps", lambda trainer: 100)
    for name, value in (("global_step", 30), ("trainer", Running()), ("epoch_of_adaptation", lambda self: 5)):
        monkeypatch.setattr(MDAM, name, value)
    options = MDAMOptions(**SMALL, two_heads=3.0, domain=7.0, occluders=0)
    model = MDAM(sgd, TINY, TrainingOptions(sigma=1.0), AdaptationOptions(target_weight=0.5), options)
    student, teacher = (model.network, model.refinement), (
        model.adaptation.teacher.network, model.refinement_teacher.network,
    )  # fmt: skip
    for network, refinement in (student, teacher):
        for layer in (network.final, refinement.first[-1], refinement.second[-1]):
            torch.nn.init.normal_(layer.weight, std=0.2)
    model.eval()
    batch = batch_of(dots)
    source, target = batch.source, batch.target
    assert any(target.student_mirrored ^ target.teacher_mirrored)
    names = sorted(set(target.name))
    labels_px, believed = torch.rand(len(names), 16, 2) * 20 + 6, torch.rand(len(names), 16)
    model.labels.load_state_dict(
        {"stage": 0, "threshold": 0.4, "names": names, "keypoints_px": labels_px, "confidence": believed}
    )
    found = model.objective(batch)

    def see(images: torch.Tensor, network: torch.nn.Module, refinement: torch.nn.Module):
        pyramid = network.pyramid(images)
        return network.final(pyramid[-1]), refinement(pyramid)

    def domain_loss(features: torch.Tensor, source: bool) -> torch.Tensor:
        belief = model.classifier(features).sigmoid()
        return -(belief if source else 1 - belief).log().mean() / 2

    share = torch.tensor([0.9, 0.7, 0.5, 0.8])  # the larger share keeps its domain
    x_s, x_t = normalize(source.image), normalize(target.student)
    y_s = encode(source.keypoints_px, (32, 32), sigma=1.0, visible=source.visibility > 0)
    rows = torch.tensor([names.index(name) for name in target.name])
    points, sure = labels_in_student_view(labels_px[rows], believed[rows] > 0.4, target, model.skeleton.mirror)
    y_t = encode(points, (32, 32), sigma=1.0, visible=sure)
    weight = ((source.visibility > 0) | sure).float()
    cells = weight[:, :, None, None]
    coarse, refined = see(mixed(x_s, x_t, share), *student)
    wanted = mixed(y_s, y_t, share)
    learnt = half_squared_error(coarse, wanted, cells) + half_squared_error(refined.first, wanted, cells)
    domain = domain_loss(refined.features, source=True)
    coarse, refined = see(mixed(x_t, x_s, share), *student)
    wanted = mixed(y_t, y_s, share)
    initial = easiest(coarse, wanted, weight, 13) + easiest(refined.first, wanted, weight, 13)
    domain = domain + domain_loss(refined.features, source=False)
    coarse, refined = see(x_t, *student)
    inner = easiest(coarse, refined.first.detach(), torch.ones(4, 16), 13)
    taught, known = warp_heatmaps(
        see(normalize(target.teacher), *teacher)[1].first.detach(),
        compose(target.student_matrix, invert(target.teacher_matrix)),
        target.student_mirrored ^ target.teacher_mirrored,
        model.skeleton.mirror,
    )
    outer = half_squared_error(refined.second, taught, known)
    agreement = half_squared_error(refined.first, refined.second, torch.ones(()))
    falling, rising = 15 * 0.5 * (math.cos(math.pi / 3) + 1), 90 * math.exp(-5 * 0.5**2)
    of_target = falling * initial + rising * (inner + outer) + 3.0 * agreement
    rest = learnt + 0.5 * of_target
    torch.testing.assert_close(found.loss, rest + 0.5 * 7.0 * domain, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.target.sum(), of_target, rtol=1e-5, atol=1e-7)
    assert found.target_weight == 0.5

    reversal = 2 / (1 + math.exp(-10 * 0.3)) - 1
    parts = {
        "classifier": (model.classifier, 0.5 * 7.0 * domain),
        "refinement": (model.refinement, rest - reversal * 0.5 * 7.0 * domain),
        "network": (model.network, rest - reversal * 0.5 * 7.0 * domain),
    }
    for name, (part, loss) in parts.items():
        parameters = list(part.parameters())
        mine, theirs = (torch.autograd.grad(v, parameters, retain_graph=True) for v in (found.loss, loss))
        for a, b in zip(mine, theirs, strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-6, name


def test_reduction_sum_is_rejected():
    with pytest.raises(UserError, match=r"training\.reduction is sum; MDAM"):
        MDAM(sgd, TINY, TrainingOptions(reduction="sum"))

"""MDAM's terms one by one."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabelled
from hamipose.errors import InputError
from hamipose.methods import MDAM, load
from hamipose.methods.mdam import MDAMOptions, mixed
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.running.last_checkpoint import run_folder
from hamipose.running.schedule import ramp_down, ramp_up

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
SMALL = {"refinement_width": 8, "classifier_width": 4, "views": 2}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def trained(model: MDAM, dots: Path, folder: Path, steps: int) -> Trainer:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    data = DomainAdaptation(
        light, [Unlabelled(dark)], image_size=32, batch_size=4, steps_per_epoch=steps, num_workers=0,
        student_views="strong",
    )  # fmt: skip
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data)
    return trainer


def test_ramps_are_those_of_the_published_code():
    numpy = pytest.importorskip("numpy")
    for epoch in range(25):
        phase = 1 - numpy.clip(epoch, 0, 10) / 10
        assert ramp_up(epoch, 10) == pytest.approx(numpy.exp(-5 * phase * phase))
        assert ramp_down(epoch, 15) == pytest.approx(0.5 * (numpy.cos(numpy.pi * numpy.clip(epoch, 0, 15) / 15) + 1))
    options = MDAMOptions()
    weights = [max(options.initial_last, options.initial * ramp_down(e, options.initial_epochs)) for e in range(20)]
    assert weights[0] == 15
    assert weights[-1] == 8


def test_mixing_is_image_by_image():
    mine, other = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    share = torch.tensor([1.0, 0.5, 0.8])
    found = mixed(mine, other, share)
    for image, part in enumerate(share):
        torch.testing.assert_close(found[image], part * mine[image] + (1 - part) * other[image])


def test_both_teachers_follow_with_a_decay_that_warms_up(dots: Path, tmp_path: Path):
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), AdaptationOptions(decay=0.6), MDAMOptions(**SMALL))
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


def test_a_keypoint_fewer_is_learnt_from_with_each_epoch(monkeypatch: pytest.MonkeyPatch, dots: Path, tmp_path: Path):
    from hamipose.methods import mdam

    kept = []
    small = mdam.small_losses
    monkeypatch.setattr(mdam, "small_losses", lambda p, t, w, k: kept.append(k) or small(p, t, w, k))
    epochs = iter([0, 3, 50])
    monkeypatch.setattr(MDAM, "epoch_of_adaptation", lambda self: next(epochs))
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), options=MDAMOptions(**SMALL))
    trained(model, dots, tmp_path, steps=3)
    assert kept[::3] == kept[1::3] == kept[2::3] == [16, 15, 9]


def test_pretraining_ends_with_two_like_heads_and_teachers_like_their_students(dots: Path, tmp_path: Path):
    options = AdaptationOptions(pretrain_steps=3)
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), options, MDAMOptions(**SMALL))
    before = {k: v.clone() for k, v in model.classifier.state_dict().items()}
    trained(model, dots, tmp_path, steps=3)
    for a, b in (
        (model.refinement.first, model.refinement.second),
        (model.refinement, model.refinement_teacher.network),
    ):
        theirs = b.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())
    assert all(torch.equal(before[k], v) for k, v in model.classifier.state_dict().items())
    assert model.labels.stage == -1


def test_the_user_gets_the_refined_teacher_from_a_checkpoint_too(dots: Path, tmp_path: Path):
    model = MDAM(sgd, TINY, TrainingOptions(warmup_steps=0), options=MDAMOptions(**SMALL))
    trainer = trained(model, dots, tmp_path, steps=2)
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    teacher, refinement = model.adaptation.teacher.network, model.refinement_teacher.network
    refined = refinement(teacher.pyramid(images)).first
    assert not torch.equal(refined, teacher(images))
    assert torch.equal(model(images), refined)
    trainer.save_checkpoint(run_folder(trainer) / "last.ckpt")
    assert torch.equal(load(run_folder(trainer) / "last.ckpt")(images), refined)


def test_sums_are_refused():
    with pytest.raises(InputError, match=r"training\.reduction is sum; MDAM"):
        MDAM(sgd, TINY, TrainingOptions(reduction="sum"))

"""UniFrame: target loss from its definition, occlusion, style transfer, and a missing decoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points, invert
from hamipose.heatmaps import decode, warp_heatmaps
from hamipose.methods import UniFrame
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.pseudo_labels import rectify
from hamipose.methods.uniframe import OcclusionOptions, StyleOptions
from hamipose.models.preprocess import normalize
from hamipose.models.style import Encoder, StyleTransfer, build_decoder, save_decoder

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def data_of(dots: Path, **options) -> DomainAdaptation:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    given = {"image_size": 32, "batch_size": 4, "steps_per_epoch": 2, "num_workers": 0, **options}
    return DomainAdaptation(light, [Unlabeled(dark)], student_views="strong", teacher_views="uniframe", **given)


def batch_of(dots: Path, **options):
    data = data_of(dots, **options)
    data.prepare_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def trainer_in(folder: Path) -> Trainer:
    return Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip


def test_objective_equals_the_equation_of_the_paper(dots: Path, monkeypatch: pytest.MonkeyPatch):
    """Compare with L_s + the mean of [m (W_s⁻¹ f − R(W_t⁻¹ f'))]², with m from sorted peaks."""
    model = UniFrame(sgd, TINY, TrainingOptions(sigma=1.0), occlusion=None)
    monkeypatch.setattr(UniFrame, "global_step", 0)
    monkeypatch.setattr(UniFrame, "trainer", None)
    monkeypatch.setattr("hamipose.methods.uniframe.total_steps", lambda trainer: 1.0)
    torch.nn.init.normal_(model.network.final.weight, std=0.3)
    model.adaptation.teacher.reset(model.network)
    model.adaptation.teacher.network.final.weight.data += 0.1 * torch.randn_like(model.network.final.weight)
    model.eval()
    model.adaptation.teacher.batchnorm = "copy"
    batch = batch_of(dots)
    found = model.objective(batch)

    target, mirror = batch.target, model.skeleton.mirror
    taught = model.adaptation.teacher(normalize(target.teacher))
    taught, _ = warp_heatmaps(taught, invert(target.teacher_matrix), target.teacher_mirrored, mirror)
    student = model.network(normalize(target.student))
    student, known = warp_heatmaps(student, invert(target.student_matrix), target.student_mirrored, mirror)
    heights = sorted(float(m.max()) for image in taught for m in image)
    median = heights[len(heights) // 2 - 1]
    total = torch.zeros(())
    labels = rectify(taught, 1.0)
    for image in range(4):
        for k in range(16):
            if taught[image, k].max() > median:
                total = total + ((student - labels)[image, k].square() * known[image, 0]).sum()
    source = model.forward_source(batch.source).losses.sum()
    torch.testing.assert_close(found.loss, source + total / student.numel(), rtol=1e-5, atol=1e-7)
    assert found.target.sum() > 0.01


def test_occlude_covers_exactly_the_chosen_keypoint(dots: Path):
    """Check that the patch covers the teacher's peak in the student's rotated and mirrored view."""
    model = UniFrame(sgd, TINY, occlusion=OcclusionOptions(probability=1.0, threshold=0.9, side_px=64.0))
    batch = batch_of(dots).target
    image = torch.arange(4 * 3 * 32 * 32).view(4, 3, 32, 32).remainder(251).to(torch.uint8)
    batch = replace(batch, student=image)
    taught = torch.full((4, 16, 8, 8), 0.1)
    for i, (x, y) in enumerate([(3, 3), (4, 3), (3, 4), (4, 4)]):
        taught[i, 2 * i, y, x] = 0.95
        taught[i, 9, 0, 0] = 0.89  # below the threshold
    at_px = apply_points(batch.student_matrix, decode(taught)[0].clone())
    found = model.occlude(batch, taught)
    for i in range(4):
        changed = (found[i] != image[i]).any(0).nonzero().flip(-1).float()
        x, y = at_px[i, 2 * i].tolist()
        inside = 0 <= x < 31 and 0 <= y < 31
        assert inside == (len(changed) > 0)
        if inside:
            middle = (changed.amin(0) + changed.amax(0)) / 2
            assert (changed.amax(0) - changed.amin(0)).max() <= 7  # 64 px of 256 are 8 of 32
            if 4 < x < 27 and 4 < y < 27:
                assert (middle - torch.tensor([x, y])).abs().max() <= 2.6  # rounding, and equal pixels at the border


def test_occlude_without_confident_keypoints_changes_nothing(dots: Path):
    model = UniFrame(sgd, TINY, occlusion=OcclusionOptions(probability=1.0))
    batch = batch_of(dots).target
    assert torch.equal(model.occlude(batch, torch.full((4, 16, 8, 8), 0.5)), batch.student)


def test_missing_decoder_is_rejected_in_one_line(dots: Path, tmp_path: Path):
    model = UniFrame(sgd, TINY, style=StyleOptions(decoder=str(tmp_path / "none.safetensors")))
    with pytest.raises(UserError, match=r"none\.safetensors, does not exist; create it with .*style fit.*style null"):
        trainer_in(tmp_path).fit(model, data_of(dots))


def test_style_transfer_changes_source_and_teacher_but_not_student(dots: Path, tmp_path: Path):
    encoder = Encoder((4, 4, 4, 4))
    torch.nn.init.zeros_(encoder.features[0].weight)
    vgg, decoder = tmp_path / "vgg.pth", tmp_path / "decoder.safetensors"
    torch.save({f"features.{name}": value for name, value in encoder.features.state_dict().items()}, vgg)
    made = build_decoder(encoder.widths)
    torch.nn.init.zeros_(made[-1].weight)  # every image becomes one color, for any strength
    torch.nn.init.constant_(made[-1].bias, 1.0)
    save_decoder(made, decoder)
    seen = {"source": [], "teacher": [], "student": []}

    class Spy(UniFrame):
        def forward_source(self, batch):
            seen["source"].append(batch.image.float().std() == 0 or float(batch.image.float().std((2, 3)).max()) == 0)
            return super().forward_source(batch)

        def occlude(self, batch, taught):
            seen["student"].append(float(batch.student.float().std((2, 3)).min()) == 0)
            return super().occlude(batch, taught)

    style = StyleOptions(decoder=str(decoder), encoder=str(vgg), to_target=0.5, to_source=0.5)
    model = Spy(sgd, TINY, style=style)
    labeled = model.adaptation.teacher.pseudo_label
    model.adaptation.teacher.pseudo_label = lambda images: (
        seen["teacher"].append(float(images.std((2, 3)).max()) < 1e-6) or labeled(images)
    )
    trainer_in(tmp_path).fit(model, data_of(dots, steps_per_epoch=16))
    assert not any(seen["student"])
    for role in ("source", "teacher"):
        assert 3 <= sum(seen[role]) <= 13  # 8 of 16 expected
    assert not any("style" in key for key in model.state_dict())
    assert isinstance(model._style_transfer[0], StyleTransfer)

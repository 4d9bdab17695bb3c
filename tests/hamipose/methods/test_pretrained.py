"""Training from pretrained networks, with small files of the same formats."""

import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from hamipose.errors import UserError
from hamipose.inference.export import export_onnx
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from hamipose.methods import (
    CCSSL,
    CGDM,
    MDAM,
    PGDA,
    SAM,
    SFHPE,
    HamiPose,
    LastCheckpoint,
    MeanTeacher,
    RegDA,
    SourceOnly,
)
from hamipose.methods.base import PoseMethod
from hamipose.methods.network_factory import open_start
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.uniframe import UniFrame
from hamipose.models.batchnorm import batchnorm_layers
from hamipose.models.checkpoint import build_evaluated, model_info, read_checkpoint
from hamipose.models.encoding import Encoding
from hamipose.models.model_io import read_model_folder, save_model_folder
from hamipose.models.network import PoseNetwork
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.interface import FinetunableNetwork
from hamipose.models.pretrained.loading import open_pretrained
from hamipose.models.pretrained.mediapipe import BlazePose
from hamipose.models.pretrained.topdown import TopDown
from hamipose.skeletons import BLAZEPOSE33, BODY16, COCO17
from tests.helpers.pose_training import make_data, make_trainer, sgd, train
from tests.helpers.processes import assert_identical
from tests.helpers.tflite_files import write_landmark_model

KEYPOINT = AdaptationOptions(labels="keypoint", gate_warmup=0.0)
AT_256 = {"image_size": 256, "batch_size": 1, "steps_per_epoch": 2, "validation": None, "test": {}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return small versions of a published landmark network and a Simple Baseline, with random weights."""
    folder = tmp_path_factory.mktemp("published")
    landmarks, baseline = folder / "pose_landmark_tiny.tflite", folder / "pose_resnet_18_256x192.pth"
    landmarks.write_bytes(write_landmark_model())
    torch.manual_seed(0)
    names = {"backbone.": "", "deconv.": "deconv_layers.", "final.": "final_layer."}
    state = {}
    for name, value in PoseNetwork(17, "resnet18", None, (8, 8, 8)).state_dict().items():
        part = next(part for part in names if name.startswith(part))
        state[names[part] + name.removeprefix(part)] = value
    torch.save(state, baseline)
    return {"blazepose": landmarks, "top-down": baseline}


def fit(model: PoseMethod, dots: Path, folder: Path, **options: object) -> None:
    """Run two steps at 256 px, without evaluation."""
    train(model, dots, folder, AT_256, limit_val_batches=0, **options)


def from_file(path: Path, **options: object) -> TrainingOptions:
    return TrainingOptions(**{"warmup_steps": 0, "init_from": str(path), **options})


def opened(path: Path, skeleton: str = "body16") -> FinetunableNetwork:
    found = open_start(path, skeleton)
    assert found is not None
    return found[0]


@pytest.fixture
def crops() -> Tensor:
    return torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8)


# ---------------------------------------------------------------------------------------------------- rows and labels


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_last_layer_has_the_rows_of_the_data_and_keeps_the_others(files: dict[str, Path], kind: str, crops: Tensor):
    whole, there_and_back = opened(files[kind], "coco17").eval(), opened(files[kind], "body16").eval()
    assert there_and_back.missing_keypoints() == ["pelvis", "thorax", "neck", "head"]
    assert there_and_back.final.out_channels == len(BODY16)
    images = normalize(crops)
    with torch.no_grad():
        body16 = there_and_back.logits(images)
        coco17 = whole.logits(images)
        for name in COCO17.keypoints:
            if name in BODY16.keypoints:
                assert torch.equal(body16[:, BODY16.index(name)], coco17[:, COCO17.index(name)])
        torch.testing.assert_close(there_and_back.select(COCO17).logits(images), coco17, rtol=0, atol=0)
        assert there_and_back.missing_keypoints() == []
        if kind == "blazepose":
            every = opened(files[kind], "blazepose33").logits(images)
            torch.testing.assert_close(there_and_back.select(BLAZEPOSE33).logits(images), every, rtol=0, atol=0)
    heatmaps = opened(files[kind], "body16").decode(whole.select(BODY16)(images).detach())
    assert heatmaps[1][:, BODY16.index("head")].abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_training_on_own_keypoints_has_no_gradient(files: dict[str, Path], kind: str):
    """Encode the keypoints of the network's own peaks as labels: loss and gradient are (nearly) 0."""
    network = opened(files[kind], "coco17")
    truth = torch.rand(2, 17, 2) * 120 + 68
    visible = torch.ones(2, 17, dtype=torch.bool)
    heatmaps = network.encode(truth, (256, 256), visible)
    points, heights = Encoding(start=network).decode(heatmaps)
    torch.testing.assert_close(points, truth, rtol=0, atol=0.35)  # pixels of 256; a cell has 4
    assert float(heights.min()) > 0.7
    outputs = heatmaps.clamp(1e-6, 1 - 1e-6).logit() if network.gives_logits else heatmaps

    def slope(target: Tensor) -> float:
        given = outputs.clone().requires_grad_()
        network.loss(given, target).sum().backward()
        assert given.grad is not None
        return float(given.grad.square().sum().sqrt())

    labels = network.encode(points, (256, 256), visible)
    network.sigma *= 1.5
    assert slope(labels) < 0.15 * slope(network.encode(points, (256, 256), visible))
    assert float(network.loss(outputs, heatmaps).abs().max()) < 1e-6
    assert slope(heatmaps) < 1e-6


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_teacher_equal_to_student_has_no_gradient(files: dict[str, Path], kind: str, dots: Path):
    """Use the network's own maps as labels: the target loss is 0 and has no gradient."""
    model = MeanTeacher(sgd, NetworkOptions(skeleton="body16"), from_file(files[kind]), AdaptationOptions())
    data = make_data(dots, **AT_256, student_views="none")
    data.setup("fit")
    target = next(iter(data.train_dataloader())).target
    model.train()
    labels = model.adaptation.pseudo_label(target)
    outputs = model.network.final(model.network.features(normalize(target.student)))
    loss = model.network.loss(outputs, labels.heatmaps, labels.weight).sum()
    loss.backward()
    assert float(loss) < 1e-6
    slopes = [p.grad.abs().max() for p in model.network.parameters() if p.grad is not None]
    assert slopes
    assert float(torch.stack(slopes).max()) < 1e-6


# ---------------------------------------------------------------------------------------------------- runs


class KeepFirstEpoch(Callback):
    """Keep the checkpoint after the first epoch, to resume from."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            folder = Path(trainer.default_root_dir) / "checkpoints"
            shutil.copy(folder / "last.ckpt", folder / "kept.ckpt")


def hamipose_from(path: Path, **options: object) -> HamiPose:
    return HamiPose(lambda p: torch.optim.AdamW(p, lr=1e-3), NetworkOptions(**options), from_file(path), KEYPOINT)


@pytest.fixture(scope="module")
def runs(files: dict[str, Path], dots: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run two epochs of HamiPose from each file."""
    folders = {}
    for kind, path in files.items():
        folder = folders[kind] = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        callbacks = [LastCheckpoint(), KeepFirstEpoch()]
        fit(hamipose_from(path), dots, folder, max_epochs=2, enable_checkpointing=True, callbacks=callbacks)
    return folders


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_run_trains_only_known_rows_and_resumes_exactly(
    files: dict[str, Path], runs: dict[str, Path], dots: Path, tmp_path: Path, kind: str
):
    last = read_checkpoint(runs[kind] / "checkpoints/last.ckpt")
    before = opened(files[kind]).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, last["state_dict"][f"network.{name}"])}
    final = "final" if kind == "blazepose" else "network.final"
    assert f"{final}.weight" in moved
    assert len(moved) > 2
    assert not any("kept" in name or "running" in name or "scales" in name for name in moved)
    rows = last["state_dict"][f"network.{final}.weight"].flatten(1)
    known = opened(files[kind]).trainable_keypoints
    assert torch.equal((rows != 0).any(1), known)
    assert not any(
        torch.equal(a, b) for a, b in zip(rows[known], before[f"{final}.weight"].flatten(1)[known], strict=True)
    )

    model = hamipose_from(files[kind])
    options = {"max_epochs": 2, "enable_checkpointing": True, "limit_val_batches": 0}
    trainer = make_trainer(tmp_path, callbacks=[LastCheckpoint()], **options)
    trainer.fit(model, make_data(dots, **AT_256), ckpt_path=runs[kind] / "checkpoints/kept.ckpt")
    resumed = read_checkpoint(tmp_path / "checkpoints/last.ckpt")
    assert resumed["global_step"] == last["global_step"] == 4
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_identical(last[part], resumed[part], part)


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_adapted_network_is_used_like_its_start(runs: dict[str, Path], tmp_path: Path, crops: Tensor, kind: str):
    path = runs[kind] / "checkpoints/last.ckpt"
    model, start = load(path, device="cpu"), {"blazepose": BlazePose, "top-down": TopDown}[kind]
    assert isinstance(model.network, start)
    assert model.info.architecture == kind
    assert model.info.skeleton == "body16"
    assert model.info.statistics == "unknown"
    assert (model.passes, model.needs_upright_crops) == ((3, True) if kind == "blazepose" else (1, False))
    assert model.predicts_bodies
    teacher = build_evaluated(checkpoint := read_checkpoint(path), model_info(checkpoint, 256))
    assert torch.equal(model.heatmaps(crops), teacher(normalize(crops)).detach())
    folder = save_model_folder(tmp_path / "model", model.network, model.info)
    network, info = read_model_folder(folder)
    assert info == model.info
    assert torch.equal(Predictor(network, info, "cpu").heatmaps(crops), model.heatmaps(crops))
    assert load(folder, device="cpu", skeleton="coco17").skeleton == COCO17
    if kind == "blazepose":
        assert load(path, device="cpu", skeleton="blazepose33").skeleton == BLAZEPOSE33
    again = open_start(folder, "body16"), open_start(path, "coco17")
    assert all(found is not None and found[1].architecture == kind for found in again)


@pytest.mark.slow
def test_export_states_its_crop_size(runs: dict[str, Path], tmp_path: Path):
    onnx = pytest.importorskip("onnx", reason="extra `export` is not installed")
    pytest.importorskip("onnxscript", reason="extra `export` is not installed")
    for kind, offset, crop in (("blazepose", "1.5", "upright"), ("top-down", "0.0", "0.75")):
        model = load(runs[kind] / "checkpoints/last.ckpt", device="cpu")
        assert export_onnx(model, tmp_path / f"{kind}.onnx") < 1e-3
        about = {each.key: each.value for each in onnx.load(str(tmp_path / f"{kind}.onnx")).metadata_props}
        assert about["offset_px"] == offset
        assert crop in about["crop"]
        assert about["input"] == "uint8 RGB; normalization is included"
        assert about["image_size"] == "256"


@pytest.mark.parametrize("kind", ["blazepose", "top-down"])
def test_training_the_head_does_not_change_other_layers(
    files: dict[str, Path], dots: Path, tmp_path: Path, crops: Tensor, kind: str
):
    model = hamipose_from(files[kind], trained="head")
    fit(model, dots, tmp_path)
    before = opened(files[kind]).eval()
    if kind == "blazepose":  # the crops do not change
        assert torch.equal(model.network.alignment(normalize(crops)), before.alignment(normalize(crops)))
    else:
        assert isinstance(model.network, TopDown)
        assert_identical(dict(model.network.network.backbone.state_dict()), dict(before.network.backbone.state_dict()))
    assert not torch.equal(model.network.final.weight, before.final.weight)


def test_training_all_layers_does_not_change_the_alignment(
    files: dict[str, Path], runs: dict[str, Path], tmp_path: Path, crops: Tensor
):
    images = normalize(crops)
    before, after = opened(files["blazepose"]).eval(), opened(runs["blazepose"] / "checkpoints/last.ckpt").eval()
    assert not torch.equal(before.features(images), after.features(images))
    assert torch.equal(before.alignment(images), after.alignment(images))
    folder = save_model_folder(tmp_path, after, load(runs["blazepose"] / "checkpoints/last.ckpt", device="cpu").info)
    again = opened(folder)
    heads = [len(list(network.layers("head"))) for network in (before, again)]
    again.train_only("all")
    assert torch.equal(before.alignment(images), again.alignment(images))
    assert torch.equal(after.features(images), again.features(images))
    assert heads[0] == heads[1] == len(list(again.layers("head"))) < len(list(again.layers("all")))


@pytest.mark.parametrize("method", [SourceOnly, PGDA, SAM])
def test_other_methods_accept_pretrained_networks(files: dict[str, Path], dots: Path, tmp_path: Path, method: type):
    model = method(sgd, NetworkOptions(), from_file(files["blazepose"]))
    fit(model, dots, tmp_path)
    assert not torch.equal(model.network.final.weight, opened(files["blazepose"]).final.weight)


def test_pretrained_statistics_are_kept_and_logged(files: dict[str, Path], dots: Path, tmp_path: Path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("hamipose.methods.base.rank_zero_info", said.append)
    options = AdaptationOptions(batchnorm="target")
    for kind, words in (("blazepose", "(they are folded into its convolutions)"), ("top-down", "own statistics; ")):
        model = MeanTeacher(sgd, NetworkOptions(), from_file(files[kind]), options)
        fit(model, dots, tmp_path / kind)
        line = said.pop()
        assert words in line
        assert "adaptation.batchnorm has no effect" in line
        assert "has no row for pelvis, thorax, neck, head: these keypoints are not trained" in line
        assert not any(layer.training for layer in batchnorm_layers(model))


def test_unsuitable_options_are_rejected_in_one_line(files: dict[str, Path], dots: Path, tmp_path: Path):
    blazepose = from_file(files["blazepose"])
    with pytest.raises(
        UserError, match=r"data\.image_size is 32; .*tiny needs crops of 256 px: set data\.image_size: 256"
    ):
        train(MeanTeacher(sgd, NetworkOptions(), blazepose), dots, tmp_path, {"image_size": 32})
    for method in (RegDA, MDAM, CGDM, CCSSL, SFHPE, UniFrame):
        with pytest.raises(UserError, match=rf"{method.__name__} cannot start from a pretrained network"):
            method(sgd, NetworkOptions(), blazepose)
    with pytest.raises(UserError, match=r"network\.trained is head, which requires a pretrained network"):
        SourceOnly(sgd, NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8], trained="head"))
    with pytest.raises(UserError, match=r"network\.weights is pretrained and training\.init_from is"):
        SourceOnly(sgd, NetworkOptions(weights="pretrained"), blazepose)
    with pytest.raises(UserError, match="skeleton is 'hand21'; expected"):
        open_pretrained(files["blazepose"], "hand21")

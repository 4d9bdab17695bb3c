"""Checkpoints and predictions of runs, and errors of one line."""

import copy
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

import hamipose
from hamipose.data import CocoKeypoints, Video
from hamipose.engine.checkpoints import AtomicCheckpoints, run_folder
from hamipose.engine.nan_guard import NanGuard
from hamipose.errors import UserError
from hamipose.methods import HamiPose, LastCheckpoint, MeanTeacher, PredictionImages, PredictionWriter, SourceOnly
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.optim import Hamiltonian
from tests.helpers.pose_training import TINY, have_equal_weights, make_data, make_trainer, sgd, train

# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def adapted(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HamiPose]:
    folder = tmp_path_factory.mktemp("adapted")
    model = HamiPose(sgd, TINY)
    train(model, dots, folder, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    return folder / "checkpoints" / "last.ckpt", model


def test_checkpoint_contains_plain_types_and_restores_the_evaluated_network(adapted: tuple[Path, HamiPose]):
    path, model = adapted
    hparams = torch.load(path, weights_only=True)["hyper_parameters"]
    json.dumps(hparams)
    images = torch.rand(2, 3, 32, 32)
    network = hamipose.load(path, device="cpu").network
    assert not network.training
    assert torch.equal(network(images), model.eval()(images))
    assert have_equal_weights(network, model.adaptation.teacher.network)


def test_run_starts_from_another_methods_network(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    path, before = adapted
    model = MeanTeacher(sgd, TINY, TrainingOptions(init_from=str(path)))
    trainer = make_trainer(tmp_path, limit_train_batches=0)
    trainer.fit(model, make_data(dots))
    assert have_equal_weights(model.network, before.network)
    assert have_equal_weights(model.adaptation.teacher.network, before.network)


def test_checkpoint_of_another_kind_is_rejected_in_one_line(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    path, _ = adapted
    other_skeleton = NetworkOptions(skeleton="lsp14", backbone="test_resnet", deconv_channels=[8, 8, 8])
    data = make_data(
        dots,
        source=CocoKeypoints(str(dots / "light"), skeleton="lsp14"),
        validation=None,
        test=None,
    )
    for training, resume in ((TrainingOptions(init_from=str(path)), None), (TrainingOptions(), path)):
        with pytest.raises(UserError, match="predicts the keypoints of body16, but this model those of lsp14") as error:
            make_trainer(tmp_path).fit(
                SourceOnly(sgd, other_skeleton, training), data, ckpt_path=resume, weights_only=True
            )
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="another model \\(HamiPose, test_resnet\\) than SourceOnly"):
        make_trainer(tmp_path).fit(SourceOnly(sgd, TINY), make_data(dots), ckpt_path=path, weights_only=True)
    wider = NetworkOptions(backbone="test_resnet", deconv_channels=[16, 16, 16])
    with pytest.raises(UserError, match=r"test_resnet with deconvolutions \[8, 8, 8\]"):
        make_trainer(tmp_path).fit(SourceOnly(sgd, wider, TrainingOptions(init_from=str(path))), make_data(dots))
    (tmp_path / "broken.ckpt").write_bytes(path.read_bytes()[:1000])
    for name, words in (("broken.ckpt", "is cut short, damaged"), ("none.ckpt", "does not exist")):
        with pytest.raises(UserError, match=words):
            hamipose.load(tmp_path / name, device="cpu")


def test_data_of_another_skeleton_are_rejected(dots: Path, tmp_path: Path):
    hands = NetworkOptions(skeleton="hand21", backbone="test_resnet", deconv_channels=[8, 8, 8])
    with pytest.raises(UserError, match="the data have the keypoints of body16, the network those of hand21"):
        make_trainer(tmp_path).fit(SourceOnly(sgd, hands), make_data(dots))


def test_adaptation_without_target_is_rejected(dots: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"MeanTeacher adapts to a target, and data\.target is not set"):
        make_trainer(tmp_path).fit(MeanTeacher(sgd, TINY), make_data(dots, target=None))
    make_trainer(tmp_path).fit(SourceOnly(sgd, TINY), make_data(dots, target=None))


# ---------------------------------------------------------------------------------------------------- trouble


class Poisoned(HamiPose):
    """A method whose loss is NaN at step 6."""

    step = 6

    def objective(self, batch):
        objective = super().objective(batch)
        return objective._replace(loss=objective.loss * float("nan")) if self.global_step == self.step else objective


def test_nan_ends_the_run_and_keeps_finished_epochs(dots: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"training stopped at step 6: loss = nan.*images/.*and 5 more") as error:
        train(
            Poisoned(sgd, TINY),
            dots,
            tmp_path,
            max_epochs=3,
            callbacks=[LastCheckpoint()],
            enable_checkpointing=True,
        )
    assert "\n" not in str(error.value)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values())
    healed = Poisoned(sgd, TINY)
    healed.step = -1
    trainer = make_trainer(tmp_path, max_epochs=3)
    trainer.fit(healed, make_data(dots), ckpt_path=tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert trainer.global_step == 12


def test_non_finite_weights_are_not_saved(dots: Path, tmp_path: Path):
    class Overflow(Callback):
        """What an infinite gradient does in the last step of an epoch."""

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 8:
                pl_module.network.final.weight.data[0, 0] = float("nan")

    callbacks = [Overflow(), LastCheckpoint()]
    with pytest.raises(UserError, match=r"step 8: final\.weight and 0 other"):
        train(SourceOnly(sgd, TINY), dots, tmp_path, max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values())


def test_failed_checkpoint_keeps_the_previous_one(tmp_path: Path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        AtomicCheckpoints().save_checkpoint({"step": lambda: 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_late_check_precedes_the_checkpoint():
    class OnDevice(torch.Tensor):
        is_cuda = True

    guard = NanGuard()
    guard.watch(1, {"loss": torch.tensor(1.0).as_subclass(OnDevice)}, ["a"])
    guard.watch(2, {"loss": torch.tensor(float("nan")).as_subclass(OnDevice)}, ["b"])
    with pytest.raises(UserError, match="step 2"):
        guard.check()


def test_damaged_evaluation_image_keeps_finished_epochs(dots: Path, tmp_path: Path):
    shutil.copytree(dots / "dark", tmp_path / "dark")
    (tmp_path / "dark" / "images" / "0003.png").write_bytes(b"broken")
    data = make_data(dots, test={"dark": CocoKeypoints(str(tmp_path / "dark"), box="image")})
    trainer = make_trainer(tmp_path, callbacks=[LastCheckpoint()], enable_checkpointing=True)
    with pytest.raises(UserError, match=r"0003.png is not an image"):
        trainer.fit(SourceOnly(sgd, TINY), data)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


# ---------------------------------------------------------------------------------------------------- predictions


def test_predictions_are_readable_as_a_data_set(adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path):
    model = copy.deepcopy(adapted[1])
    for module in model.modules():  # student and teacher: all keypoints are found
        if isinstance(final := getattr(module, "final", None), torch.nn.Conv2d):
            torch.nn.init.ones_(final.bias)
    trainer = make_trainer(tmp_path, callbacks=[PredictionWriter()])
    trainer.predict(
        model, make_data(dots, predict=CocoKeypoints(str(dots / "dark"), box="image"), evaluation_batch_size=5)
    )
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert len(content["annotations"]) == len(content["images"]) == 16
    assert all(len(a["keypoint_scores"]) == 16 for a in content["annotations"])
    read = CocoKeypoints("/", annotations=str(tmp_path / "predictions.json"), box="image", images="/")
    read.prepare()
    # Originals of 48 pixels were cropped to 32 pixels: predictions are in pixels of the originals.
    crop = torch.from_numpy(read[2].image).permute(2, 0, 1)[None]
    assert crop.shape[-2:] == (48, 48)
    assert (read[2].keypoints_px >= -1).all()
    assert (read[2].keypoints_px <= 48).all()
    spread = np.ptp(np.stack([read[i].keypoints_px for i in range(16)]).reshape(-1, 2), axis=0)
    assert (spread <= 49).all()
    assert content["annotations"][0]["bbox"] == pytest.approx([0, 0, 48, 48], abs=0.02)
    with pytest.raises(UserError, match=r"data\.predict is not given"):
        make_trainer(tmp_path).predict(model, make_data(dots))


def test_predictions_keep_frames_of_a_video_separate(dots: Path, tmp_path: Path):
    """Check the config form and the short form of predict."""
    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 40))
    for gray in (0, 100, 200):
        video.write(np.full((40, 48, 3), gray, np.uint8))
    video.release()
    trainer = make_trainer(tmp_path, callbacks=[PredictionWriter()])
    trainer.predict(SourceOnly(sgd, TINY), make_data(dots, predict=Video(str(path))))
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{path}#{n}" for n in range(3)]
    assert [(image["width"], image["height"]) for image in content["images"]] == [(48, 40)] * 3
    assert [a["image_id"] for a in content["annotations"]] == [1, 2, 3]
    assert content["info"]["upright"] is True


def test_prediction_images_are_written(dots: Path, tmp_path: Path):
    train(HamiPose(sgd, TINY), dots, tmp_path, callbacks=[PredictionImages(count=3)])
    assert {p.name for p in (tmp_path / "images").iterdir()} == {"val-000004.png", "test-dark-000004.png"}


def test_runs_of_a_logger_with_a_shared_folder_have_separate_folders(tmp_path: Path):
    class Shared(CSVLogger):
        log_dir = property()  # not available, as in the logger of W&B

    folders = []
    for version in ("a", "b"):
        trainer = make_trainer(tmp_path, logger=Shared(tmp_path, name="project", version=version))
        folders.append(run_folder(trainer))
    assert folders == [tmp_path / "project" / "a", tmp_path / "project" / "b"]
    own = make_trainer(tmp_path, logger=CSVLogger(tmp_path, name="", version="run"))
    assert run_folder(own) == tmp_path / "run"
    assert run_folder(make_trainer(tmp_path)) == tmp_path


def test_resume_with_another_method_or_optimizer_is_rejected_in_one_line(
    adapted: tuple[Path, HamiPose], dots: Path, tmp_path: Path
):
    path, _ = adapted

    def adam(parameters):
        return torch.optim.AdamW(parameters, lr=1e-3)

    def go_on(model) -> str:
        with pytest.raises(UserError) as error:
            make_trainer(tmp_path, max_epochs=9).fit(model, make_data(dots), ckpt_path=path, weights_only=True)
        assert "\n" not in str(error.value)
        return str(error.value)

    wider = NetworkOptions(backbone="test_resnet", deconv_channels=[16, 16, 16])
    assert "network.deconv.0.weight differs" in go_on(HamiPose(sgd, wider))
    assert "another model (HamiPose, test_resnet) than MeanTeacher" in go_on(MeanTeacher(sgd, TINY))
    assert "optimizer has the class SGD; expected AdamW" in go_on(HamiPose(adam, TINY))
    factors = {"backbone": 0.1, "deconv": 1.0, "final": 1.0}
    assert "groups of" in go_on(HamiPose(sgd, TINY, TrainingOptions(lr_factors=factors)))


def test_invalid_training_options_are_rejected_in_one_line(dots: Path, tmp_path: Path):
    for precision in ("bf16-true", "64-true"):
        with pytest.raises(UserError, match=f"trainer.precision is {precision}, expected bf16-mixed or 32-true"):
            make_trainer(tmp_path, precision=precision).fit(SourceOnly(sgd, TINY), make_data(dots))

    def rubbed(parameters):
        return Hamiltonian(parameters, friction=-0.1)

    with pytest.raises(UserError, match=r"model\.init_args\.optimizer: Invalid friction: -0\.1"):
        make_trainer(tmp_path).fit(SourceOnly(rubbed, TINY), make_data(dots))
    with pytest.raises(UserError, match="gate would never open"):
        make_trainer(tmp_path, max_epochs=-1).fit(HamiPose(sgd, TINY), make_data(dots))
    for options in ({"sigma": 0.0}, {"clip_norm": -1.0}, {"warmup_steps": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            TrainingOptions(**options)
    with pytest.raises(ValueError, match=r"decay is 1\.5"):
        AdaptationOptions(ema_decay=1.5)

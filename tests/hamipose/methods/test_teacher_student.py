"""RegDA, UniFrame, CC-SSL and MDAM learn, resume exactly, and compute losses in single precision."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.methods import CCSSL, MDAM, LastCheckpoint, RegDA, UniFrame
from hamipose.methods.ccssl import CurriculumOptions
from hamipose.methods.mdam import MDAMOptions
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from hamipose.methods.uniframe import OcclusionOptions

pytestmark = pytest.mark.slow

NETWORK = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
TRAINING = TrainingOptions(warmup_steps=0, sigma=1.0)
FAST = AdaptationOptions(ema_decay=0.9, batchnorm="target")


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=3e-3)


def regda():
    # Its divergences start flat, and its features change twice per step: the decrease over two epochs is small.
    return RegDA(lambda p: torch.optim.AdamW(p, lr=1e-2), NETWORK, TRAINING, reversal_steps=4)


def uniframe():
    occlusion = OcclusionOptions(threshold=0.0)  # random patches from the first step on
    return UniFrame(adamw, NETWORK, TRAINING, FAST, occlusion=occlusion)


def ccssl():
    return CCSSL(adamw, NETWORK, TRAINING, curriculum=CurriculumOptions(refresh_epochs=2, views=2))


def mdam():
    published = {"initial_epochs": 0.0, "consistency_epochs": 0.0}  # constant weights
    return MDAM(
        adamw, NETWORK, TRAINING, FAST, MDAMOptions(refinement_width=8, classifier_width=4, views=2, **published)
    )


METHODS = [regda, uniframe, ccssl, mdam]


class Curve(Callback):
    """Record the loss of each step."""

    def __init__(self):
        self.losses = []

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        compute_gradients = pl_module.compute_gradients

        def watched(batch):
            objective = compute_gradients(batch)
            # RegDA's target term is a game; only the source term improves.
            value = objective.source.sum() if isinstance(pl_module, RegDA) else objective.loss
            self.losses.append(float(value.detach()))
            return objective

        pl_module.compute_gradients = watched


class Killed(RuntimeError):
    """Exception that simulates a kill."""


class Kill(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise Killed


def run(model: Any, dots: Path, folder: Path, epochs: int, steps: int, *callbacks: Callback, **options: Any) -> Trainer:
    light, dark = (CocoKeypoints(root=str(dots / look), box="image") for look in ("light", "dark"))
    data = DomainAdaptation(
        light, [Unlabeled(dark)], test={"dark": CocoKeypoints(str(dots / "dark"), box="image", count=4)},
        image_size=32, batch_size=4, steps_per_epoch=steps, num_workers=0,
        source_views="none", student_views="hamipose",
    )  # fmt: skip
    resume = options.pop("resume", None)  # source_views none: all keypoints are visible, so that losses are comparable
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=2, callbacks=list(callbacks), **options,
    )  # fmt: skip
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return trainer


@pytest.mark.parametrize("make", METHODS)
def test_two_epochs_improve_the_objective(make: Any, dots: Path, tmp_path: Path):
    torch.manual_seed(0)
    curve = Curve()
    trainer = run(make(), dots, tmp_path, 2, 12, curve, enable_checkpointing=False)
    assert trainer.global_step == len(curve.losses) == 24
    first, last = sum(curve.losses[:6]) / 6, sum(curve.losses[-6:]) / 6
    assert last < (0.99 if make is regda else 0.97) * first
    assert 0 <= float(trainer.callback_metrics["test/dark/pck"]) <= 1


@pytest.mark.parametrize("make", METHODS)
def test_killed_and_resumed_run_equals_uninterrupted_run(make: Any, dots: Path, tmp_path: Path):
    ends = []
    for role in ("whole", "killed", "resumed"):
        torch.manual_seed(7 if role == "resumed" else 0)
        folder = tmp_path / ("whole" if role == "whole" else "killed")
        last = folder / "checkpoints" / "last.ckpt"
        keep = LastCheckpoint(every_n_steps=2)
        if role == "killed":
            with pytest.raises(Killed):
                run(make(), dots, folder, 3, 3, keep, Kill(5))
            assert torch.load(last, weights_only=True)["global_step"] == 4
            continue
        run(make(), dots, folder, 3, 3, keep, resume=last if role == "resumed" else None)
        ends.append(torch.load(last, weights_only=True))
    whole, resumed = ends
    assert whole["global_step"] == resumed["global_step"] == 9
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    moments = [end["optimizer_states"][0]["state"] for end in ends]
    for number, state in moments[0].items():
        for name, value in state.items():
            assert torch.equal(value, moments[1][number][name]), (number, name)
    assert torch.equal(whole["random_state"]["torch"], resumed["random_state"]["torch"])
    if "pseudo_labels" in whole:
        labels = [end["pseudo_labels"] for end in ends]
        assert labels[0]["names"] == labels[1]["names"]
        assert labels[0]["threshold"] == labels[1]["threshold"]
        assert torch.equal(labels[0]["keypoints_px"], labels[1]["keypoints_px"])


@pytest.mark.parametrize("make", METHODS)
def test_bfloat16_training_runs(make: Any, dots: Path, tmp_path: Path):
    model = make()
    run(model, dots, tmp_path, 1, 2, precision="bf16-mixed", enable_checkpointing=False)
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in model.parameters())

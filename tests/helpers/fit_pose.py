"""Train a tiny pose model; also a script that can be killed or started in several processes."""

import inspect
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy

import hamipose.methods
from hamipose.data import CocoKeypoints, DomainAdaptation, Unlabeled
from hamipose.methods import LastCheckpoint
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions
from tests.helpers.processes import FreezeBatchNorm, Kill


class Jitter(Callback):
    """Make the weights depend on the random generators (except Python's, which beartype uses in tests)."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        noise = torch.rand(()) + np.random.rand()  # noqa: NPY002
        pl_module.network.final.bias.data += 1e-3 * noise


class Keep(Callback):
    """Keep the checkpoint of a step to resume from it later."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            folder = Path(trainer.default_root_dir) / "checkpoints"
            shutil.copy(folder / "last.ckpt", folder / "kept.ckpt")


def optimizer(name, lr):
    if name == "hamiltonian":
        from hamipose.optim import Hamiltonian

        return lambda p: Hamiltonian(p, lr=1e-3, friction=0.1)
    if name == "sgd":
        return lambda p: torch.optim.SGD(p, lr=lr)
    return lambda p: torch.optim.AdamW(p, lr=1e-3)


def run(options):
    o = {
        "method": "HamiPose",
        "optimizer": "adamw",
        "epochs": 3,
        "steps": 5,
        "workers": 0,
        "metric": "scalar",
        "mirror": False,
        "freeze": False,
        "world": 1,
        "kill": None,
        "resume": None,
        "every": None,
        "pretrain": 0,
        "jitter": False,
        "keep": None,
        "extra": {},
        "adaptation": {},
        "lr": 100.0,
        "start": None,
        "views": "strong",
        "validate": True,
        **options,
    }
    torch.set_num_threads(1)
    seed_everything(0)
    light, dark = ({"root": str(Path(o["dots"]) / look), "box": "image"} for look in ("light", "dark"))
    data = DomainAdaptation(
        CocoKeypoints(**light),
        [Unlabeled(CocoKeypoints(**dark))],
        CocoKeypoints(**light, count=6),
        {"dark": CocoKeypoints(**dark, count=7)},
        image_size=32,
        batch_size=4,
        evaluation_batch_size=4,
        steps_per_epoch=o["steps"],
        num_workers=o["workers"],
        source_views=o["views"],
        student_views="strong",
        teacher_views="hamipose",
    )
    method = getattr(hamipose.methods, o["method"])
    extra = dict(o["extra"])
    if "adaptation" in inspect.signature(method).parameters:
        extra["adaptation"] = AdaptationOptions(pretrain_steps=o["pretrain"], **o["adaptation"])
    if o["method"] == "HamiPose":
        extra["metric"] = o["metric"]
    model = method(
        optimizer(o["optimizer"], o["lr"]),
        NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8]),
        TrainingOptions(warmup_steps=3, init_from=o["start"]),
        **extra,
    )
    interrupted = o["kill"] is not None or o["keep"] is not None
    callbacks = [LastCheckpoint(every_n_steps=o["every"] or (3 if interrupted else None))]
    callbacks += [Kill(o["kill"])] if o["kill"] is not None else []
    callbacks += [Keep(o["keep"])] if o["keep"] is not None else []
    callbacks += [Jitter()] if o["jitter"] else []
    callbacks += [FreezeBatchNorm()] if o["freeze"] else []
    trainer = Trainer(
        max_epochs=o["epochs"],
        accelerator="cpu",
        devices=o["world"],
        default_root_dir=o["out"],
        logger=False,
        strategy=DDPStrategy(process_group_backend="gloo") if o["world"] > 1 else "auto",
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if o["validate"] else 0,
    )
    trainer.fit(model, data, ckpt_path=o["resume"], weights_only=True)
    return trainer


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    for options in given if isinstance(given, list) else [given]:
        trainer = run(options)
        if trainer.is_global_zero:
            scores = {k: float(v) for k, v in trainer.callback_metrics.items()}
            (Path(options["out"]) / "scores.json").write_text(json.dumps(scores))

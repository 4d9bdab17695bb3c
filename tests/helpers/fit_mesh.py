"""Train a tiny mesh model; also a script that can be killed or started in several processes."""

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy

from meshtto.data import MeshData
from meshtto.methods import EFT, Dual, LastCheckpoint, Meta, Regression, ScoreFile
from meshtto.methods.options import RegressorOptions, TrainingOptions
from meshtto.test_time import SGD, Phase
from tests.helpers.mesh_images import DotMeshes
from tests.helpers.processes import FreezeBatchNorm, Kill

METHODS = {"Regression": Regression, "EFT": EFT, "Meta": Meta, "Dual": Dual}


def data(o):
    return MeshData(
        [DotMeshes(12), DotMeshes(6, 1, mesh=False)],
        validation=DotMeshes(5, 2),
        test={"dots": DotMeshes(7, 3)},
        height=32,
        width=32,
        batch_size=4,
        evaluation_batch_size=o.get("evaluation_batch_size", 4),
        steps_per_epoch=o.get("steps", 4),
        num_workers=0,
    )


def model(o):
    extra = {}
    if o["method"] in ("Meta", "Dual"):
        extra = {
            "inner": Phase(1, SGD(1e-3), scope=o.get("scope", "head"), inner=o.get("inner", "image")),
            "second_order": o.get("second_order", False),
        }
        extra |= {"auxiliary_loss": o["auxiliary_loss"]} if "auxiliary_loss" in o else {}
    if "test_time" in o:
        extra["test_time"] = o["test_time"]
    return METHODS[o["method"]](
        (lambda p: torch.optim.SGD(p, lr=1e-4))
        if o.get("optimizer") == "sgd"
        else (lambda p: torch.optim.Adam(p, lr=1e-3)),
        RegressorOptions(
            kind=o.get("kind", "cliff"), backbone="test_resnet", width=16, iterations=2, dropout=o.get("dropout", 0.5)
        ),
        training=TrainingOptions(init_from=o.get("init_from")),
        **extra,
    )


def trainer(o):
    callbacks = [LastCheckpoint(every_n_steps=3), ScoreFile()]
    callbacks += [Kill(o["kill"])] if o.get("kill") is not None else []
    callbacks += [FreezeBatchNorm()] if o.get("freeze") else []
    world = o.get("world", 1)
    return Trainer(
        max_epochs=o.get("epochs", 2),
        accelerator="cpu",
        devices=world,
        default_root_dir=o["out"],
        logger=False,
        strategy=DDPStrategy(process_group_backend="gloo") if world > 1 else "auto",
        precision=o.get("precision"),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def run(o):
    torch.set_num_threads(1)
    seed_everything(0)
    made, m = trainer(o), model(o)
    made.fit(m, data(o), ckpt_path=o.get("resume"), weights_only=True)
    return made


if __name__ == "__main__":
    made = run(json.loads(sys.argv[1]))
    if made.is_global_zero:
        scores = {k: float(v) for k, v in made.callback_metrics.items()}
        (Path(json.loads(sys.argv[1])["out"]) / "logged.json").write_text(json.dumps(scores))

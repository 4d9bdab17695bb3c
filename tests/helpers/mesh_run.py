"""Build and fit one tiny run; also a script, to be killed or to be one of several processes."""

import json
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import roma
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy

from meshtto.body import load_body
from meshtto.camera import project
from meshtto.data import MeshData
from meshtto.data.base import MeshDataset, joint_box
from meshtto.joints import JOINTS49
from meshtto.methods import EFT, Dual, LastCheckpoint, Meta, Regression, ScoreFile
from meshtto.methods.options import RegressorOptions, TrainingOptions
from meshtto.test_time import SGD, Phase
from meshtto.types import MeshSample
from tests.helpers.tiny_runs import FreezeBatchNorm, Kill


@lru_cache
def people(count, seed):
    """Poses before a camera, exactly labeled."""
    generator = torch.Generator().manual_seed(seed)
    body = load_body()
    vectors = 0.3 * torch.randn(count, 24, 3, generator=generator)
    rotations = roma.rotvec_to_rotmat(vectors)
    flip = roma.rotvec_to_rotmat(torch.tensor([np.pi, 0.0, 0.0]))  # y up to y down
    rotations[:, 0] = flip @ rotations[:, 0]
    shape = 0.5 * torch.randn(count, 10, generator=generator)
    joints = body(rotations, shape).joints_m
    size = torch.tensor([[64.0, 64.0]])
    keypoints = project(
        joints,
        torch.tensor([[0.1, 0.2, 5.0]]).expand(count, 3),
        torch.full((count,), 90.0),
        ((size - 1) / 2).expand(count, 2),
    )
    return tuple(x.numpy() for x in (rotations, shape, joints, keypoints))


class Dots(MeshDataset):
    """Every joint a dot."""

    def __init__(self, count, seed=0, mesh=True):
        self.count, self.seed, self.mesh, self.evidence = count, seed, mesh, "truth"

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rotations, shape, joints, keypoints = (x[index].copy() for x in people(self.count, self.seed))
        image = np.full((64, 64, 3), 30, np.uint8)
        for k, (x, y) in enumerate(keypoints.round().astype(int)):
            if 0 <= x < 64 and 0 <= y < 64:
                image[y, x] = (5 * k, 255 - 5 * k, 50 + 4 * k)
        ones = np.ones(49, np.float32)
        return MeshSample(
            image=image,
            box_px=joint_box(keypoints, ones),
            name=str(index),
            keypoints_px=keypoints,
            keypoints_confidence=ones,
            evidence_px=keypoints + 0.5,
            evidence_confidence=0.9 * ones,
            joints_m=joints - joints[JOINTS49.index("pelvis")],
            joints_confidence=ones,
            rotations=rotations,
            shape=shape,
            has_mesh=self.mesh,
            image_size=np.array([64, 64], np.float32),
            focal_px=90.0,
        )


METHODS = {"Regression": Regression, "EFT": EFT, "Meta": Meta, "Dual": Dual}


def data(o):
    return MeshData(
        [Dots(12), Dots(6, 1, mesh=False)],
        validation=Dots(5, 2),
        test={"dots": Dots(7, 3)},
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

"""``trainer.sync_batchnorm`` through Lightning's own conversion, for the modules of both packages."""

import json
from pathlib import Path

import pytest
import torch

from hamipose.engine.distributed import check_device
from hamipose.errors import UserError
from tests.helpers.processes import run_script

#: Trainers that convert a module, take no step and revert it. In a process of its own, for its process group.
SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import nn
import hamipose.engine.distributed as sync_batchnorm
from hamipose.errors import UserError
from hamipose.methods import SourceOnly
from hamipose.methods.options import NetworkOptions, TrainingOptions
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions

network = NetworkOptions(backbone="mobilenetv3_small_050", deconv_channels=[8, 8, 8])
pose = SourceOnly(torch.optim.Adam, network, TrainingOptions())
mesh = Regression(torch.optim.Adam, RegressorOptions(backbone="efficientnet_lite0", width=16))
images = torch.randn(2, 3, 64, 64)


def count(part, kind):
    return sum(type(m) is kind for m in part.modules())


class Look(Callback):
    def __init__(self, part):
        for norm in part.modules():  # statistics that are not the identity
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                norm.running_mean.uniform_(-0.5, 0.5)
                norm.running_var.uniform_(0.5, 1.5)
        self.part = part
        self.seen = {"with activation": count(part, BatchNormAct2d), "plain": count(part, nn.BatchNorm2d)}
        self.before = self.features()

    @torch.no_grad()
    def features(self):
        self.part.eval()
        found = self.part.features(images)
        self.part.train()
        return found

    def error(self):
        return float((self.features() - self.before).abs().max() / self.before.abs().max())

    def on_fit_start(self, trainer, pl_module):
        self.seen["converted"] = [count(self.part, k) for k in (SyncBatchNormAct, nn.SyncBatchNorm, BatchNormAct2d)]
        self.seen["error while converted"] = self.error()


def fit(model, part):
    look = Look(part)
    trainer = Trainer(
        accelerator="cpu", devices=1, strategy=DDPStrategy(process_group_backend="gloo"), sync_batchnorm=True,
        max_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=sys.argv[1], callbacks=[look],
    )
    trainer.fit(model, torch.utils.data.DataLoader([0]))
    look.seen["reverted"] = [count(part, k) for k in (BatchNormAct2d, SyncBatchNormAct, nn.SyncBatchNorm)]
    return look.seen | {"error after reverting": look.error()}


found = {}
try:
    fit(pose, pose.network)
except UserError as error:
    found["refused"] = str(error)
# The modules can be converted on a CPU all the same, if nothing is trained.
sync_batchnorm.check_device = lambda device: None
nn.parallel.DistributedDataParallel._passing_sync_batchnorm_handle = lambda self, module: None
print(json.dumps(found | {"hamipose": fit(pose, pose.network), "meshtto": fit(mesh, mesh.regressor)}))
"""


@pytest.mark.slow
def test_activations_outlive_the_conversion_and_its_end(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = run_script(script, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "trainer.sync_batchnorm is true and the run is on CPUs" in found["refused"]
    for package in ("hamipose", "meshtto"):
        seen = found[package]
        assert seen["with activation"] > 5
        assert seen["converted"] == [seen["with activation"], seen["plain"], 0]
        assert seen["error while converted"] < 1e-5
        assert seen["reverted"] == [seen["with activation"], 0, 0]
        assert seen["error after reverting"] < 1e-5


def test_only_cpus_are_refused():
    check_device(torch.device("cuda"))
    with pytest.raises(UserError, match="GPUs only"):
        check_device(torch.device("cpu"))

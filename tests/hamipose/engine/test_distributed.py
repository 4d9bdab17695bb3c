"""Several processes: random rows and gathered batches with simulated ranks, and ``trainer.sync_batchnorm``.

Sums over processes are tested by runs with two processes.
"""

import json
from pathlib import Path

import pytest
import torch

from hamipose.engine import distributed
from hamipose.engine.distributed import check_device
from hamipose.errors import UserError
from hamipose.methods.parts.occlusion import choose_joint, random_corners
from hamipose.methods.parts.pseudo_labels import confident
from tests.helpers.processes import run_script


@pytest.fixture
def as_process(monkeypatch: pytest.MonkeyPatch):
    """Simulate one of two processes, with the tensors that both send."""

    def become(rank: int, sent: list[torch.Tensor] | None = None) -> None:
        def all_gather(shares: list[torch.Tensor], mine: torch.Tensor) -> None:
            assert torch.equal(mine, sent[rank])
            for share, theirs in zip(shares, sent, strict=True):
                share.copy_(theirs)

        monkeypatch.setattr(distributed, "_is_distributed", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather", all_gather)

    return become


DRAWS = {
    "corners": lambda heights: random_corners(len(heights), 4, 32),
    "joint": lambda heights: choose_joint(heights, 0.0, 0.5)[0],
    "chosen": lambda heights: choose_joint(heights, 0.0, 0.5)[1].long(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draw_local_rows_equals_one_process_and_differs_between_ranks(name: str, as_process):
    heights, states = torch.rand(32, 16), []
    torch.manual_seed(3)
    whole = DRAWS[name](heights)
    states.append(torch.get_rng_state())
    shares = []
    for rank in (0, 1):
        as_process(rank)
        torch.manual_seed(3)
        shares.append(DRAWS[name](heights[:16] if rank == 0 else heights[16:]))
        states.append(torch.get_rng_state())
    assert torch.equal(torch.cat(shares), whole)
    assert not torch.equal(*shares)
    assert all(torch.equal(state, states[0]) for state in states)


def test_confident_uses_the_median_of_all_processes(as_process):
    heights = torch.tensor([0.9, 0.8, 0.2, 0.1])
    assert confident(heights, 0.5).tolist() == [True, True, False, False]
    halves = list(heights.split(2))
    for rank, expected in enumerate(([True, True], [False, False])):
        as_process(rank, halves)
        assert confident(halves[rank], 0.5).tolist() == expected


#: Trainers that convert a module, take no step and revert it; run in a separate process, which has a process group.
SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import nn
import hamipose.engine.distributed as distributed
from hamipose.errors import UserError
from hamipose.methods import SourceOnly
from hamipose.methods.options import NetworkOptions, TrainingOptions
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions

torch.manual_seed(0)  # some random networks have no finite features
network = NetworkOptions(backbone="mobilenetv3_small_050", deconv_channels=[8, 8, 8])
pose = SourceOnly(torch.optim.Adam, network, TrainingOptions())
mesh = Regression(torch.optim.Adam, RegressorOptions(backbone="efficientnet_lite0", width=16))
images = torch.randn(2, 3, 64, 64)


def count(part, kind):
    return sum(type(m) is kind for m in part.modules())


class Record(Callback):
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
    record = Record(part)
    trainer = Trainer(
        accelerator="cpu", devices=1, strategy=DDPStrategy(process_group_backend="gloo"), sync_batchnorm=True,
        max_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=sys.argv[1], callbacks=[record],
    )
    trainer.fit(model, torch.utils.data.DataLoader([0]))
    record.seen["reverted"] = [count(part, k) for k in (BatchNormAct2d, SyncBatchNormAct, nn.SyncBatchNorm)]
    return record.seen | {"error after reverting": record.error()}


found = {}
try:
    fit(pose, pose.network)
except UserError as error:
    found["refused"] = str(error)
# Without training, the modules can be converted on a CPU, too.
distributed.check_device = lambda device: None
nn.parallel.DistributedDataParallel._passing_sync_batchnorm_handle = lambda self, module: None
print(json.dumps(found | {"hamipose": fit(pose, pose.network), "meshtto": fit(mesh, mesh.regressor)}))
"""


@pytest.mark.slow
def test_sync_batchnorm_keeps_activations_when_converted_and_reverted(tmp_path: Path):
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


def test_check_device_rejects_cpus():
    check_device(torch.device("cuda"))
    with pytest.raises(UserError, match="GPUs only"):
        check_device(torch.device("cpu"))

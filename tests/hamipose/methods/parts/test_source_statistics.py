"""Source validation uses the source's BatchNorm statistics, for all statistics of the delivered network."""

from pathlib import Path

import pytest
import torch

import hamipose
import hamipose.methods
from hamipose.data.target_pass import iterate_target
from hamipose.methods import HamiPose, MeanTeacher, SourceOnly
from hamipose.methods.mdam import MDAMOptions
from hamipose.methods.options import AdaptationOptions, TrainingOptions
from hamipose.methods.source_only import TARGET_STATISTICS
from hamipose.models.batchnorm import BatchNormStatistics, reestimate_statistics
from tests.helpers.pose_training import TINY, make_data, make_trainer, sgd, train

ADAPTING = ("HamiPose", "UniFrame", "CGDM", "PGDA", "RegDA", "CCSSL", "MDAM")


def first_mean(statistics: BatchNormStatistics, model: torch.nn.Module) -> torch.Tensor:
    """Return the running mean of the first BatchNorm layer, which depends on the brightness of the images."""
    layers = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return statistics.mean[: layers[0].num_features]


@pytest.mark.parametrize("name", ADAPTING)
def test_source_statistics_differ_from_those_of_both_domains(name: str, dots: Path, tmp_path: Path):
    torch.manual_seed(0)
    small = {"options": MDAMOptions(refinement_width=8, classifier_width=4)} if name == "MDAM" else {}
    model = getattr(hamipose.methods, name)(lambda p: torch.optim.SGD(p, lr=1e-6), TINY, **small)
    trainer = train(model, dots, tmp_path, {"steps_per_epoch": 12, "batch_size": 2}, limit_val_batches=0)
    data, student = trainer.datamodule, model.evaluated_networks()["student"]
    model.eval()
    target = first_mean(
        BatchNormStatistics(reestimate_statistics(student, (b.image for b in iterate_target(data, 0, 1)))), student
    )
    source = first_mean(model.source_statistics.student, student)
    own = first_mean(BatchNormStatistics(student), student)
    apart = (source - target).norm()
    assert (own - source).norm() > 0.2 * apart, "the network's own statistics have seen the target"
    between = ((own - target) @ (source - target)) / apart**2
    assert 0.2 < between < 0.8, "and the source: they lie between"
    assert model.delivered_statistics() == "source and target"


@pytest.mark.parametrize("batchnorm", ["copy", "average", "target"])
def test_validation_uses_source_statistics_and_test_sets_the_networks_own(
    batchnorm: str, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Record the statistics of the networks at each evaluated batch."""
    torch.manual_seed(0)
    options = AdaptationOptions(ema_decay=0.5, batchnorm=batchnorm)
    model = HamiPose(sgd, TINY, adaptation=options)
    found: dict[tuple[int, str], list[torch.Tensor]] = {}

    start = model.start_evaluation

    def started():
        start()
        inner = model._evaluation.add

        def add(batch, number, networks):
            for name, network in networks.items():
                found.setdefault((number, name), []).append(BatchNormStatistics(network).mean)
            inner(batch, number, networks)

        model._evaluation.add = add

    monkeypatch.setattr(model, "start_evaluation", started)
    train(model, dots, tmp_path, {"steps_per_epoch": 6})
    teacher = model.adaptation.teacher.network
    for name, network in (("student", model.network), ("teacher", teacher)):
        source = model.source_statistics.of(name).mean
        assert all(torch.equal(mean, source) for mean in found[0, name]), "val"
        assert all(torch.equal(mean, BatchNormStatistics(network).mean) for mean in found[1, name]), "test"
        assert (source - BatchNormStatistics(network).mean).abs().max() > 0.01
    same = torch.equal(model.source_statistics.student.mean, model.source_statistics.teacher.mean)
    assert same == (batchnorm != "average")
    assert model.delivered_statistics() == ("target" if batchnorm == "target" else "source and target")


def test_checkpoint_contains_source_and_delivered_statistics(dots: Path, tmp_path: Path):
    model = MeanTeacher(sgd, TINY, adaptation=AdaptationOptions(pretrain_steps=2))
    trainer = make_trainer(tmp_path)
    trainer.fit(model, make_data(dots))
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    content = torch.load(tmp_path / "mine.ckpt", weights_only=True)
    assert content["hyper_parameters"]["statistics"] == "source and target"
    assert hamipose.load(tmp_path / "mine.ckpt", device="cpu").info.statistics == "source and target"
    again = MeanTeacher(sgd, TINY)
    scores = [trainer.callback_metrics["val/pck"]]
    other = make_trainer(tmp_path)
    other.validate(again, make_data(dots), ckpt_path=tmp_path / "mine.ckpt", weights_only=True, verbose=False)
    assert torch.equal(again.source_statistics.teacher.mean, content["state_dict"]["source_statistics.teacher.mean"])
    assert other.callback_metrics["val/pck"] == scores[0]

    # A checkpoint of an earlier version has none: its network's own are used.
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if not k.startswith("source_statistics")}
    torch.save(content, tmp_path / "old.ckpt")
    make_trainer(tmp_path).validate(
        again, make_data(dots), ckpt_path=tmp_path / "old.ckpt", weights_only=True, verbose=False
    )
    assert torch.equal(again.source_statistics.student.mean, BatchNormStatistics(again.network).mean)

    # A new run starts with the statistics of the checkpoint.
    started = MeanTeacher(sgd, TINY, TrainingOptions(init_from=str(tmp_path / "mine.ckpt")))
    make_trainer(tmp_path, max_steps=0).fit(started, make_data(dots))
    saved = torch.load(tmp_path / "mine.ckpt", weights_only=True)["state_dict"]["source_statistics.student.mean"]
    assert torch.equal(started.source_statistics.student.mean, saved)


def test_delivered_statistics_during_pretraining_are_the_sources(dots: Path, tmp_path: Path):
    statistics = []

    class Spy(MeanTeacher):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            statistics.append(self.delivered_statistics())

    model = Spy(sgd, TINY, adaptation=AdaptationOptions(pretrain_steps=2))
    train(model, dots, tmp_path, limit_val_batches=0)
    assert statistics == ["source", "source", "source and target", "source and target"]
    assert SourceOnly(sgd, TINY).delivered_statistics() == "source"


def test_source_only_is_also_scored_with_target_statistics(dots: Path, tmp_path: Path):
    torch.manual_seed(0)
    model = SourceOnly(sgd, TINY, target_images=5)
    trainer = train(model, dots, tmp_path)
    scores = trainer.callback_metrics
    assert f"test/dark/{TARGET_STATISTICS}/pck@0.05" in scores
    assert scores["test/dark/pck"] == scores["test/dark/student/pck@0.05"], "never what a user gets"
    assert scores["val/pck"] == scores["val/student/pck@0.05"]
    assert list(model.evaluated_networks()) == ["student"]
    assert not any("beside" in name for name in model.state_dict())

    model.start_evaluation()
    copied = model.evaluated_networks()[TARGET_STATISTICS]
    data = trainer.datamodule
    images = [batch.image for batch in iterate_target(data, 0, 1, 5)]
    assert sum(map(len, images)) == 5
    torch.testing.assert_close(
        BatchNormStatistics(copied).mean, BatchNormStatistics(reestimate_statistics(model.network, images)).mean
    )
    assert BatchNormStatistics(model.network).distance(copied) > 0.1

    without = train(SourceOnly(sgd, TINY, target_images=0), dots, tmp_path / "without")
    assert not [name for name in without.callback_metrics if TARGET_STATISTICS in name]


def test_iterate_target_limited_is_evenly_spaced(dots: Path, tmp_path: Path):
    data = train(SourceOnly(sgd, TINY, target_images=0), dots, tmp_path, limit_val_batches=0).datamodule
    every = [name for batch in iterate_target(data, 0, 1) for name in batch.name]
    some = [name for batch in iterate_target(data, 0, 1, 4) for name in batch.name]
    assert some == [every[i * len(every) // 4] for i in range(4)]
    shares = [[name for batch in iterate_target(data, rank, 2, 3) for name in batch.name] for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == 2, "equally many, one of them padding"
    assert set(shares[0]) | set(shares[1]) >= {every[i * len(every) // 3] for i in range(3)}

"""All configs can be parsed and built, and none selects by target labels."""

from pathlib import Path
from typing import Any

import pytest

from hamipose.config.config_file import expand_config_arguments
from hamipose.config.environment import configs_folder
from hamipose.data import DomainAdaptation, Prepared, Unlabeled
from hamipose.data.base import KeypointDataset, UnlabeledDataset
from hamipose.data.catalog.entries import CATALOG
from hamipose.methods.base import PoseMethod
from hamipose.training import HamiPoseCLI

CONFIGS = sorted(p for p in configs_folder().rglob("*.yaml") if p.name != "base.yaml")


class Built(HamiPoseCLI):
    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""

    def _check_data(self) -> None:
        """Do nothing; there are no data."""


def build(path: Path) -> HamiPoseCLI:
    """Build everything that `fit` builds, with a small network, without running it."""
    small = {"backbone": "test_resnet", "weights": "none", "deconv_channels": "[8,8,8]"}
    options = [word for k, v in small.items() for word in (f"--model.init_args.network.{k}", v)]
    return Built(expand_config_arguments(["fit", "--config", str(path), *options, "--trainer.accelerator", "cpu"]))


def stated_sets(data: DomainAdaptation) -> list[KeypointDataset]:
    """Return all labeled sets of a config, including those of unlabeled targets."""
    targets = [t.dataset for t in data.target if isinstance(t, Unlabeled)]
    sets = [data.source, *targets, data.validation, *data.test.values()]
    assert len(sets) >= 2
    assert all(isinstance(each, KeypointDataset) for each in sets)
    return [each for each in sets if isinstance(each, KeypointDataset)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(configs_folder())))
def test_config_builds_and_selects_without_target_labels(path: Path):
    cli = build(path)
    assert isinstance(cli.model, PoseMethod)
    optimizer: Any = cli.model.make_optimizer(cli.model.network.parameters())
    assert optimizer.param_groups
    data = cli.datamodule
    assert data.validation is not None
    if path.parent.name != "start" and path.name != "people_start.yaml":  # source only, without a target or a test set
        assert data.target
        assert data.test or path.parent.name == "findings"  # benchmarks/findings.py scores after training
    assert all(isinstance(target, UnlabeledDataset) for target in data.target)
    assert data.skeleton == cli.model.skeleton
    for dataset in stated_sets(data):
        assert any(k is not None for k in data.skeleton.map_from(dataset.skeleton))
        if isinstance(dataset, Prepared):  # the name of its folder is not checked before training
            about, protocol = CATALOG[dataset.root.name], dataset.folder.parent.name
            raw = about.dataset("", dataset.folder.name, protocol)
            assert raw.skeleton == dataset.skeleton
    for callback in cli.trainer.callbacks:
        assert not str(getattr(callback, "monitor", None)).startswith("test/")
    cli.before_fit()


def test_base_config_matches_the_paper():
    cli = build(configs_folder() / "surreal_to_lsp.yaml")
    data, options = cli.datamodule, cli.model.adaptation.options
    network = cli.config.fit.model.init_args.network
    assert (data.image_size, data.batch_size, data.steps_per_epoch, cli.trainer.max_epochs) == (256, 32, 500, 70)
    assert (options.target_weight, options.ema_decay, options.gate_warmup) == (1.0, 0.99, 0.1)
    gate = cli.model.adaptation.gate
    assert (gate.gamma_min, gate.gamma_max) == (0.0, 2.0)
    assert cli.model.training_options.warmup_steps == 500
    assert (data.source_views.rotation_deg, data.source_views.translate, data.source_views.crop_area) == (30, 0.05, 0.6)
    assert data.student_views == data.source_views
    assert network.skeleton == "body16"


def test_literal_config_matches_the_printed_optimizer():
    cli = build(configs_folder() / "literal.yaml")
    optimizer: Any = cli.model.make_optimizer(cli.model.network.parameters())
    assert type(optimizer).__name__ == "Hamiltonian"
    group = optimizer.param_groups[0]
    assert len(optimizer.param_groups) == 1
    assert group["friction"] == 0
    assert (group["mass"], group["initial_mass"], group["mass_decay"], group["eps"]) == ("group", 1.0, 0.99, 1e-8)
    assert group["lr"] == 1e-3


def test_target_label_options_are_parsed(tmp_path: Path):
    path = tmp_path / "labels.yaml"
    views = "{mirror: true, scales: [0.9], rotations_deg: [-15, 15.0]}"
    options = f"{{labels: keypoint, discard_fraction: 0.5, label_views: {views}}}"
    path.write_text(f"inherit: {configs_folder() / 'demo.yaml'}\nmodel: {{init_args: {{adaptation: {options}}}}}\n")
    found = build(path).model.adaptation.options
    assert (found.labels, found.discard_fraction, found.label_views.count) == ("keypoint", 0.5, 8)
    assert found.label_views.rotations_deg == [-15.0, 15.0]

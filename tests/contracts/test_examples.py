"""The examples of docs/examples run, and their classes work where CONTRIBUTING.md says that they are added."""

import runpy
from pathlib import Path

import jsonargparse
import pytest
import torch

from hamipose.cli import main
from hamipose.command_line.main import run_command_line
from hamipose.evaluation import scores
from hamipose.gating import Gate
from hamipose.models.checkpoint import read_checkpoint
from hamipose.skeletons import BODY16

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(autouse=True)
def _search_examples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(FOLDER)


def test_examples_cover_all_checklists():
    names = {path.stem.removeprefix("own_") for path in EXAMPLES}
    assert names == {"method", "gate", "dataset", "metric", "body", "verb"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, capsys: pytest.CaptureFixture):
    runpy.run_path(str(example), run_name="__main__")  # each checks its result
    assert capsys.readouterr().out.strip()
    assert f"docs/examples/{example.name}" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.slow
def test_example_method_is_trained_by_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "own.yaml"
    config.write_text(
        "model:\n"
        "  class_path: own_method.LargestLosses\n"
        "  init_args:\n"
        "    network: {skeleton: square4, backbone: test_resnet, deconv_channels: [8, 8, 8]}\n"
        "    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002}}\n"
        "data:\n"
        "  source: {class_path: own_dataset.Squares, init_args: {count: 16}}\n"
        "  validation: {class_path: own_dataset.Squares, init_args: {count: 4, seed: 1}}\n"
        "  image_size: 32\n  batch_size: 4\n  steps_per_epoch: 2\n  num_workers: 0\n"
        "trainer:\n  max_epochs: 1\n  accelerator: cpu\n"
        f"  logger:\n    class_path: lightning.pytorch.loggers.CSVLogger\n    init_args: {{save_dir: {tmp_path}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", str(config)]) == 0
    (checkpoint,) = tmp_path.glob("**/*.ckpt")
    assert read_checkpoint(checkpoint)["global_step"] == 2


def test_example_gate_is_built_from_a_config():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--gate", type=Gate)
    arguments = parser.parse_args(["--gate", "own_gate.ReduceConflicts", "--gate.factor", "0.25"])
    instantiate = parser.instantiate if hasattr(parser, "instantiate") else parser.instantiate_classes
    assert instantiate(arguments).gate.factor == 0.25


def test_example_metric_is_logged_once_listed(monkeypatch: pytest.MonkeyPatch):
    from own_metric import DistanceScore

    monkeypatch.setattr(scores, "METRICS", (*scores.METRICS, DistanceScore()))
    evaluation = scores.Scores("val", ["student"], BODY16, size=32)
    evaluation.update(
        "student", torch.rand(2, 16, 8, 8), torch.full((2, 16, 2), 9.0), torch.full((2, 16), 2, dtype=torch.long)
    )
    assert "val/student/distance" in evaluation.compute()


def test_example_verb_runs_by_name(capsys: pytest.CaptureFixture):
    verbs = {"count": "own_verb"}
    assert run_command_line(["count", str(FOLDER)], "hamipose", "", verbs) == 0
    assert capsys.readouterr().out == "0\n"
    assert run_command_line(["count", "nowhere"], "hamipose", "", verbs) == 2
    assert capsys.readouterr().err == "error: folder nowhere does not exist; pass a folder with JPEG files\n"

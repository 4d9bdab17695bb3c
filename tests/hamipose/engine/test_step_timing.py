"""Timing of steps: the median time between steps after the warm-up, and the options of the timed run."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from lightning.pytorch import LightningModule, Trainer

from hamipose.engine import step_timing
from hamipose.engine.experiments import pending_table
from hamipose.engine.runs import Run
from hamipose.engine.step_timing import StepTimes, time_steps


def test_median_leaves_out_the_first_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ends = iter([100.0, 120.0, 121.0, 123.0, 124.0])
    monkeypatch.setattr(step_timing.time, "monotonic", lambda: next(ends))
    timer = StepTimes(str(tmp_path / "times.json"))
    trainer, method = Mock(spec=Trainer, is_global_zero=True), Mock(spec=LightningModule)
    for _ in range(5):
        timer.on_train_batch_end(trainer, method)
    timer.on_train_end(trainer, method)
    assert json.loads((tmp_path / "times.json").read_text()) == {"seconds": 1.0}


def command_that_takes(seconds: float, seen: list):
    def command(words, log: Path) -> int:
        seen.append(list(words))
        timer = json.loads(words[words.index("--trainer.callbacks") + 1])[0]
        Path(timer["init_args"]["path"]).write_text(json.dumps({"seconds": seconds}))
        return 0

    return command


@pytest.mark.parametrize("exists", [True, False])
def test_timed_run_starts_from_the_checkpoint_if_it_exists(tmp_path: Path, exists: bool):
    start = Run(tmp_path / "start", ("fit",), 1, 1)
    if exists:
        start.last.parent.mkdir(parents=True)
        start.last.touch()
    config = tmp_path / "a.yaml"
    config.write_text("model: {init_args: {adaptation: {pretrain_steps: 500}}}\n")
    option = "--model.init_args.training.init_from"
    run = Run(
        tmp_path / "b",
        ("fit", "--config", str(config), option, str(start.last), "--seed_everything", "3"),
        4,
        100,
        start,
    )
    seen: list[list[str]] = []
    assert time_steps(run, 6, command_that_takes(0.25, seen)) == 0.25
    (timed,) = seen
    assert (option in timed) == exists
    assert timed[timed.index("--seed_everything") + 1] == "3"
    assert timed[timed.index("--data.steps_per_epoch") + 1] == "8"
    assert timed[timed.index("--model.init_args.adaptation.pretrain_steps") + 1] == "0"
    assert str(run.folder) not in timed
    assert not run.folder.exists()


def test_failed_run_raises_the_end_of_its_log(tmp_path: Path):
    def command(words, log: Path) -> int:
        log.write_text("error: no such data\n")
        return 1

    with pytest.raises(RuntimeError, match="error: no such data"):
        time_steps(Run(tmp_path / "a", ("fit",), 1, 1), 3, command)


def test_each_recipe_without_earlier_runs_is_timed_once(tmp_path: Path):
    folders = [tmp_path / "people" / f"seed{seed}" / name for seed in (0, 1) for name in ("a", "b")]
    runs = [Run(folder, ("fit",), 2, 30) for folder in folders]
    folders[0].mkdir(parents=True)
    (folders[0] / "wall.json").write_text(json.dumps([{"steps": 30, "seconds": 300.0}]))
    timed: list[str] = []

    def time_step(run: Run) -> float:
        timed.append(run.folder.name)
        return 2.0

    total = pending_table(runs, 1, time_step)[1]
    assert timed == ["b"]
    # a: 30 and 60 steps of 10 s; b: twice 60 steps of 2 s
    assert total == "4 of 4 runs are missing: about 19 min, with 1 at a time"

import json
from pathlib import Path

import pytest

from hamipose.engine.runs import Run, failure, is_finished, run_all, wall_time
from hamipose.errors import UserError


class FakeRunner:
    """Replaces training: a command writes the files that a training leaves."""

    def __init__(self, failing: tuple[str, ...] = (), stopped: tuple[str, ...] = ()):
        self.failing = failing
        self.stopped = stopped
        self.calls: list[tuple[str, bool]] = []

    def __call__(self, words, log: Path) -> int:
        program, *arguments = words
        name = log.parent.name
        assert program == ("meshtto" if name.startswith("test") else "hamipose")
        resumed = "--ckpt_path" in arguments
        self.calls.append((name, resumed))
        if name in self.failing:
            log.write_text("loading\nerror: there is no such file; give another\n")
            return 2
        if program == "meshtto":
            (log.parent / "scores-test.json").write_text(json.dumps({"epoch": 0}))
            return 0
        epochs = 1 if name in self.stopped and not resumed else 2
        rows = [(10 * e + 9, 0.1 * e) for e in range(1 if resumed else 0, epochs)]
        lines = ["val/pck,test/photo/pck,test/photo/student/pck@0.05,step"]
        (log.parent / "metrics.csv").write_text("\n".join([*lines, *(f"{v},{v},{v},{s}" for s, v in rows)]) + "\n")
        (log.parent / "checkpoints").mkdir(exist_ok=True)
        (log.parent / "checkpoints/last.ckpt").write_text("weights")
        if epochs == 2:
            (log.parent / "scores.json").write_text(json.dumps({"epoch": 2, "step": 20}))
            return 0
        return -9


def make_runs(folder: Path) -> tuple[Run, list[Run]]:
    start = Run(folder / "seed0/start", ("fit", "start"), 2, 10)
    return start, [Run(folder / "seed0" / name, ("fit", name), 2, 10, start) for name in ("a", "b", "c")]


def test_run_all_runs_starts_first_and_nothing_twice(tmp_path):
    runner, (start, runs) = FakeRunner(), make_runs(tmp_path)
    run_all(runs, command=runner, log=lambda _: None)
    assert [name for name, _ in runner.calls] == ["start", "a", "b", "c"]
    assert all(is_finished(run) and failure(run) is None for run in (start, *runs))
    run_all(runs, command=runner, log=lambda _: None)
    assert len(runner.calls) == 4


def test_run_all_runs_a_chain_from_its_beginning(tmp_path):
    runner, (_, runs) = FakeRunner(), make_runs(tmp_path)
    test = Run(tmp_path / "seed0/test-a", ("test", "a"), 0, 0, runs[0], "meshtto", "scores-test.json")
    run_all([test, runs[1]], command=runner, log=lambda _: None)
    assert [name for name, _ in runner.calls] == ["start", "b", "a", "test-a"]
    assert is_finished(test)
    assert test.command == "python -m meshtto test a"


@pytest.mark.parametrize("jobs", [1, 3])
def test_run_all_continues_after_a_failed_run(tmp_path, jobs):
    runner, (_, runs) = FakeRunner(failing=("b",)), make_runs(tmp_path)
    run_all(runs, jobs, command=runner, log=lambda _: None)
    assert [is_finished(run) for run in runs] == [True, False, True]
    assert failure(runs[1]) == "failed with status 2: error: there is no such file; give another"


def test_run_all_skips_runs_whose_start_failed(tmp_path):
    runner, (_, runs) = FakeRunner(failing=("start",)), make_runs(tmp_path)
    run_all(runs, command=runner, log=lambda _: None)
    assert [name for name, _ in runner.calls] == ["start"]
    assert str(failure(runs[0])).startswith("the run it starts from is missing: failed with status 2")


def test_run_all_resumes_an_interrupted_run_and_keeps_its_metrics(tmp_path):
    from hamipose.engine.metrics_file import read_run

    runner, (_, runs) = FakeRunner(stopped=("a",)), make_runs(tmp_path)
    run_all(runs[:1], command=runner, log=lambda _: None)
    assert failure(runs[0]) == "failed with status -9: no output"
    assert wall_time(runs[0])[0] == 10
    run_all(runs[:1], command=runner, log=lambda _: None)
    assert runner.calls[1:] == [("a", False), ("a", True)]
    assert failure(runs[0]) is None
    assert read_run(runs[0].folder)["val/pck"] == {9: 0.0, 19: 0.1}
    assert wall_time(runs[0])[0] == 20


def test_run_all_rejects_a_folder_with_other_options_before_any_run(tmp_path):
    runner, (start, runs) = FakeRunner(), make_runs(tmp_path)
    run_all(runs, command=runner, log=lambda _: None)
    other = Run(runs[0].folder, ("fit", "a", "--data.batch_size", "16"), 2, 10, start)
    with pytest.raises(UserError, match=r"different options \(found .*, requested --data.batch_size 16"):
        run_all([other], command=runner, log=lambda _: None)
    assert len(runner.calls) == 4

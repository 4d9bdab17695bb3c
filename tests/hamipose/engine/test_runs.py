import json
from pathlib import Path

import pytest

from hamipose.engine.runs import Run, carry_out, failure, finished, wall_seconds
from hamipose.errors import UserError


class Machine:
    """Carries out commands by writing what a training would leave behind."""

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


def some(folder: Path) -> tuple[Run, list[Run]]:
    start = Run(folder / "seed0/start", ("fit", "start"), 2, 10)
    return start, [Run(folder / "seed0" / name, ("fit", name), 2, 10, start) for name in ("a", "b", "c")]


def test_starts_come_first_and_nothing_is_run_twice(tmp_path):
    machine, (start, runs) = Machine(), some(tmp_path)
    carry_out(runs, call=machine, say=lambda _: None)
    assert [name for name, _ in machine.calls] == ["start", "a", "b", "c"]
    assert all(finished(run) and failure(run) is None for run in (start, *runs))
    carry_out(runs, call=machine, say=lambda _: None)
    assert len(machine.calls) == 4


def test_a_chain_is_carried_out_from_its_beginning(tmp_path):
    machine, (_, runs) = Machine(), some(tmp_path)
    test = Run(tmp_path / "seed0/test-a", ("test", "a"), 0, 0, runs[0], "meshtto", "scores-test.json")
    carry_out([test, runs[1]], call=machine, say=lambda _: None)
    assert [name for name, _ in machine.calls] == ["start", "b", "a", "test-a"]
    assert finished(test)
    assert test.command == "python -m meshtto test a"


@pytest.mark.parametrize("jobs", [1, 3])
def test_one_failed_run_does_not_stop_the_others(tmp_path, jobs):
    machine, (_, runs) = Machine(failing=("b",)), some(tmp_path)
    carry_out(runs, jobs, call=machine, say=lambda _: None)
    assert [finished(run) for run in runs] == [True, False, True]
    assert failure(runs[1]) == "failed with status 2: error: there is no such file; give another"


def test_a_failed_start_leaves_out_what_follows_from_it(tmp_path):
    machine, (_, runs) = Machine(failing=("start",)), some(tmp_path)
    carry_out(runs, call=machine, say=lambda _: None)
    assert [name for name, _ in machine.calls] == ["start"]
    assert str(failure(runs[0])).startswith("the run it starts from is not there: failed with status 2")


def test_an_interrupted_run_goes_on_and_keeps_the_metrics_of_its_first_part(tmp_path):
    from hamipose.engine.metrics_file import read_run

    machine, (_, runs) = Machine(stopped=("a",)), some(tmp_path)
    carry_out(runs[:1], call=machine, say=lambda _: None)
    assert failure(runs[0]) == "failed with status -9: no word"
    assert wall_seconds(runs[0])[0] == 10
    carry_out(runs[:1], call=machine, say=lambda _: None)
    assert machine.calls[1:] == [("a", False), ("a", True)]
    assert failure(runs[0]) is None
    assert read_run(runs[0].folder)["val/pck"] == {9: 0.0, 19: 0.1}
    assert wall_seconds(runs[0])[0] == 20


def test_a_folder_with_other_options_is_refused_before_anything_runs(tmp_path):
    machine, (start, runs) = Machine(), some(tmp_path)
    carry_out(runs, call=machine, say=lambda _: None)
    other = Run(runs[0].folder, ("fit", "a", "--data.batch_size", "16"), 2, 10, start)
    with pytest.raises(UserError, match=r"holds a run with .*, asked for is --data.batch_size 16"):
        carry_out([other], call=machine, say=lambda _: None)
    assert len(machine.calls) == 4

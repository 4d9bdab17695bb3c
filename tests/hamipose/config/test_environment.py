import os

import pytest

from hamipose.config.environment import available_cpus


def test_available_cpus_are_those_of_the_process_or_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 5, 7}, raising=False)
    assert available_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    assert available_cpus() == 11
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cpus() == 1

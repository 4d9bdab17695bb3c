"""Processes that make pictures, with a maker that only says which it was asked for."""

from pathlib import Path

import pytest

from hamipose.synthetic.processes import records_of_processes

_MAKER = """
import json, sys
from hamipose.synthetic.processes import make_share
make_share(json.load(sys.stdin), lambda folder, index, look: {"index": index, "look": look, "folder": folder.name})
"""
_FAILS = "import sys; sys.exit('no such look')"


@pytest.fixture(autouse=True)
def _makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "says_which.py").write_text(_MAKER)
    (tmp_path / "reads_nothing.py").write_text(_FAILS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("missing", [range(3), range(7, 60_000)], ids=["few", "more than an argument can hold"])
def test_every_picture_is_made_once(missing: range):
    made = list(records_of_processes("says_which", list(missing), 2, {"folder": "a/b", "look": "plain"}))
    assert sorted(record["index"] for record in made) == list(missing)
    assert {(record["look"], record["folder"]) for record in made} == {("plain", "b")}


def test_a_process_that_fails_is_told():
    with pytest.raises(RuntimeError, match="a process that makes pictures failed"):
        list(records_of_processes("reads_nothing", list(range(60_000)), 2, {"folder": "a"}))

"""Ends of a verb: success, an error in one line, or a traceback for unexpected errors."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader, Dataset

from hamipose import cli
from hamipose.command_line.main import run_command_line
from hamipose.errors import UserError
from meshtto import cli as mesh_cli


class Raises(Dataset):
    """Data set whose items cannot be read."""

    def __init__(self, error: Exception):
        self.error = error

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> None:
        raise self.error


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """Return exit status and error output of a verb that runs a function."""

    def run(act: Callable[[], object], *options: str) -> tuple[int, str]:
        monkeypatch.setitem(sys.modules, "verb_of_test", SimpleNamespace(main=lambda rest: act()))
        status = run_command_line(["try", *options], "hamipose", "", {"try": "verb_of_test"})
        return status, capsys.readouterr().err

    return run


def read(error: Exception, workers: int) -> None:
    list(DataLoader(Raises(error), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_error_line_does_not_depend_on_the_process(end: Callable, workers: int):
    assert end(lambda: read(UserError("image a: b is truncated"), workers)) == (2, "error: image a: b is truncated\n")


@pytest.mark.parametrize("workers", [0, 1])
def test_unexpected_error_keeps_its_traceback(end: Callable, workers: int):
    with pytest.raises(KeyError):
        end(lambda: read(KeyError("a"), workers))
    with pytest.raises(UserError):
        end(lambda: read(UserError("a"), workers), "--debug")


def test_error_names_an_unusable_path(end: Callable, tmp_path: Path):
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "sub"
    for act, path in (
        (lambda: below.mkdir(parents=True), below),
        (lambda: below.write_text(""), below),
        (lambda: tmp_path.joinpath("file").mkdir(), tmp_path / "file"),
        (lambda: tmp_path.write_text(""), tmp_path),
        (lambda: os.replace(tmp_path / "file", tmp_path), tmp_path),  # the path that exists
    ):
        status, line = end(act)
        assert status == 2
        assert re.fullmatch(f"error: {re.escape(str(path))} cannot be used \\(.*\\); give another path\n", line), line
    with pytest.raises(NotADirectoryError):
        end(lambda: below.mkdir(), "--debug")


def fail_to_write() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("workers", [0, 1])
def test_full_disk_is_one_line_without_a_file_name(end: Callable, workers: int):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for act in (fail_to_write, lambda: read(full, workers)):
        status, line = end(act)
        assert status == 2
        assert re.fullmatch(r"error: .*No space left on device.*; free some space, or give another path.*\n", line), (
            line
        )
    status, line = end(lambda: read(OSError("of no file"), workers))
    assert (status, line.count("\n")) == (2, 1)
    assert "of no file" in line
    with pytest.raises(OSError, match="No space left"):
        end(fail_to_write, "--debug")


@pytest.mark.parametrize("where", ["full", "closed"])
def test_unwritable_output_is_one_line(where: str):
    """The text is buffered, so that only the last flush fails."""
    code = (
        "import sys; from types import SimpleNamespace as N\n"
        "sys.modules['verb'] = N(main=lambda rest: print('a' * 100))\n"
        "from hamipose.command_line.main import run_command_line\n"
        "sys.exit(run_command_line(['try'], 'hamipose', '', {'try': 'verb'}))"
    )
    if where == "full":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        read_end, output = os.pipe()
        os.close(read_end)
    try:
        ended = subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(output)
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(r"error: .*(No space left on device|Broken pipe).*\n", ended.stderr), ended.stderr


def interrupt() -> None:
    raise KeyboardInterrupt


def test_help_lists_every_exit_status(end: Callable):
    assert end(lambda: None) == (0, "")
    assert end(interrupt) == (130, "interrupted\n")
    for text in (cli.HELP, mesh_cli.HELP):
        said = text[text.index("exit status:") :]
        assert [int(number) for number in re.findall(r"\b\d+\b", said)] == [0, 2, 130, 1]

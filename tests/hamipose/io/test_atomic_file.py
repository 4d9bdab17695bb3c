"""Files are whole or absent, and a failed write names its file, whichever library wrote."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path, free_bytes, write_bytes, write_text
from hamipose.io.image_file import write_image


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(raised: Exception) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise raised

    return write


#: What libraries raise when the disk is full, as measured on a tmpfs of one MiB.
FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("1000000 requested and 262112 written"),  # numpy.save
    RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662"),  # torch.save
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("raised", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_leaves_the_former_file_and_names_it(tmp_path: Path, raised: Exception):
    path = tmp_path / "a.bin"
    write_text(path, "former")
    with pytest.raises(OSError, match="No space left") as error, atomic_path(path) as beside:
        half(raised)(beside)
    assert error.value.filename == str(path)
    assert error.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_text() == "former"


def test_other_errors_pass_unchanged_and_leave_nothing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "sub" / "a.npz") as beside:
        half(ZeroDivisionError())(beside)
    with pytest.raises(RuntimeError, match="shape"), atomic_path(tmp_path / "sub" / "a.npz") as beside:
        half(RuntimeError("of another shape"))(beside)
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"exists|Not a directory") as error:
        write_bytes(tmp_path / "file" / "a.txt", b"")
    assert error.value.filename == str(tmp_path / "file" / "a.txt")


def test_writers_that_choose_by_the_ending_see_it(tmp_path: Path):
    with atomic_path(tmp_path / "a.npz") as beside:
        np.savez(beside, a=np.arange(3))
    with atomic_path(tmp_path / ("long" * 60 + ".pt")) as beside:
        torch.save({"a": torch.ones(2)}, beside)
    assert np.load(tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 2
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_images_are_written_in_rgb_or_refused(tmp_path: Path):
    import cv2

    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    write_image(tmp_path / "sub" / "red.png", red)
    assert cv2.imread(str(tmp_path / "sub" / "red.png"))[0, 0].tolist() == [0, 0, 255]
    for name in ("a.xyz", "none"):
        with pytest.raises(UserError, match=rf"{name} cannot be written in the format"):
            write_image(tmp_path / name, red)

"""Atomic files: a failed write of any library leaves no partial file and names the file."""

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from hamipose.errors import UserError
from hamipose.io.atomic_file import atomic_path, free_bytes, write_bytes, write_text
from hamipose.io.image_file import write_image


def write_half_and_raise(raised: Exception) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise raised

    return write


#: Errors of libraries on a full disk, measured on a tmpfs of one MiB.
FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("1000000 requested and 262112 written"),  # numpy.save
    RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662"),  # torch.save
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("raised", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_keeps_the_existing_file_and_names_it(tmp_path: Path, raised: Exception):
    path = tmp_path / "a.bin"
    write_text(path, "existing")
    with pytest.raises(OSError, match="No space left") as error, atomic_path(path) as temporary:
        write_half_and_raise(raised)(temporary)
    assert error.value.filename == str(path)
    assert error.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_text() == "existing"


def test_other_errors_are_unchanged_and_leave_no_file(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "sub" / "a.npz") as temporary:
        write_half_and_raise(ZeroDivisionError())(temporary)
    with pytest.raises(RuntimeError, match="shape"), atomic_path(tmp_path / "sub" / "a.npz") as temporary:
        write_half_and_raise(RuntimeError("of another shape"))(temporary)
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"exists|Not a directory") as error:
        write_bytes(tmp_path / "file" / "a.txt", b"")
    assert error.value.filename == str(tmp_path / "file" / "a.txt")


def test_temporary_files_keep_the_suffix(tmp_path: Path):
    with atomic_path(tmp_path / "a.npz") as temporary:
        np.savez(temporary, a=np.arange(3))
    with atomic_path(tmp_path / ("long" * 60 + ".pt")) as temporary:
        torch.save({"a": torch.ones(2)}, temporary)
    assert np.load(tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 2
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_images_are_written_in_rgb_or_raise(tmp_path: Path):
    import cv2

    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    write_image(tmp_path / "sub" / "red.png", red)
    assert cv2.imread(str(tmp_path / "sub" / "red.png"))[0, 0].tolist() == [0, 0, 255]
    for name in ("a.xyz", "none"):
        with pytest.raises(UserError, match=rf"{name} cannot be written in the format"):
            write_image(tmp_path / name, red)

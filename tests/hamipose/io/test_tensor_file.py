"""Checkpoints of users: complete, truncated, from other programs; messages never come from torch itself."""

import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hamipose
from hamipose.errors import UserError
from hamipose.io.tensor_file import read_tensor_file


class Other:
    """Class of another program."""


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_tensor_file(path, "checkpoint", "give another")
    message = str(error.value)
    assert message.startswith(f"checkpoint {path} ")
    assert "\n" not in message
    assert "weights_only" not in message
    assert "caffe2" not in message
    return message


def test_the_format_is_detected_from_the_content(tmp_path: Path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "c.ckpt")
    for name in ("a.safetensors", "b.pt", "c.ckpt"):
        assert read_tensor_file(tmp_path / name, "checkpoint", "give another")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n",
            "is a Git LFS pointer.*git lfs pull",
        ),
        (b"\n<!DOCTYPE html><html>", "is a web page, not the file itself"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML file.*download the file itself"),
        (b"\x1f\x8b\x08\x00abcdef", "is a compressed file; unpack it first"),
        (b"\x89HDF\r\n\x1a\n0000", "is an HDF5 file, not a PyTorch file"),
        (b'{"a": 1}', "is JSON text, not a PyTorch file"),
        (b"Not found", "is a text file, not a PyTorch file"),
        (b"", r"is empty \(0 bytes\)"),
        (bytes(100), r"is cut short, damaged or not a PyTorch file \(100 bytes\)"),
        (b"\x80\x02}q\x00(X\x05\x00", "is cut short, damaged"),
        (b'\x10\x00\x00\x00\x00\x00\x00\x00{"a', "is a safetensors file that is cut short"),
    ],
)
def test_the_type_of_foreign_files_is_named(tmp_path: Path, content: bytes, expected: str):
    (tmp_path / "a.ckpt").write_bytes(content)
    assert re.search(expected, error_of(tmp_path / "a.ckpt"))


def test_archives_folders_and_foreign_objects_are_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    assert "is a NumPy archive (.npz), not a PyTorch file" in error_of(tmp_path / "a.npz")
    assert "is a folder, not a PyTorch file" in error_of(tmp_path)
    assert "does not exist; give another" in error_of(tmp_path / "none.ckpt")
    torch.save({"model": Other()}, tmp_path / "o.pt")
    assert "Other, expected only tensors and plain values; no code in it was run" in error_of(tmp_path / "o.pt")
    torch.save({"args": Namespace(a=1)}, tmp_path / "n.pt")
    assert "contains objects of argparse.Namespace" in error_of(tmp_path / "n.pt")
    assert read_tensor_file(tmp_path / "n.pt", "checkpoint", "", [Namespace])["args"].a == 1
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    assert "is a TorchScript program, not a PyTorch file" in error_of(tmp_path / "script.pt")


def test_damaged_files_are_read_or_raise(tmp_path: Path):
    rng, path, count = np.random.default_rng(0), tmp_path / "a.ckpt", 0
    torch.save({"state_dict": {"a": torch.arange(30.0), "b": torch.ones(2, 2)}, "hyper_parameters": {"c": "d"}}, path)
    whole = path.read_bytes()
    for number in range(200):
        content = bytearray(whole)
        for at in rng.integers(len(whole), size=3):
            content[at] = rng.integers(256)
        path.write_bytes(content[: rng.integers(len(whole))] if number % 2 else content)
        try:
            read_tensor_file(path, "checkpoint", "give another")
        except UserError as error:
            count += "\n" not in str(error) and "weights_only" not in str(error)
        else:
            count += 1
    assert count == 200


@pytest.mark.parametrize("call", ["torch.load(", "load_file(", "cv2.imread(", "loadmat("])
def test_each_format_is_opened_in_one_place(call: str):
    """No other module calls the library, so that its errors never reach a user."""
    root = Path(hamipose.__file__).parent.parent
    allowed = {"hamipose/io/tensor_file.py", "hamipose/io/matlab_file.py"}
    found = [path for package in ("hamipose", "meshtto") for path in sorted((root / package).rglob("*.py"))]
    calling = {str(path.relative_to(root)) for path in found if call in path.read_text()}
    assert calling <= allowed, f"{calling - allowed} calls {call}"

"""Damaged checkpoints and model folders of both packages give one-line errors and are never executed."""

import random
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from hamipose.cli import main as hamipose
from meshtto.cli import main as meshtto
from meshtto.predict import files
from tests.helpers.checkpoints import save_mesh_checkpoint, save_pose_checkpoint, save_pose_folder
from tests.helpers.fuzzing import Failures, change_encoding, change_tree, damage_bytes, seeded_generators


class Hostile:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def damage_content(rng: random.Random, checkpoint: dict[str, Any], executed: Path) -> Any:
    """Return a readable checkpoint with wrong content."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice((None, 3, "text", [], {}, torch.zeros(3), [checkpoint], checkpoint["state_dict"]))
    if kind == 1:
        return checkpoint | {"hyper_parameters": Hostile(executed)}
    if kind == 2:  # a tensor of another shape, type or value
        state = dict(checkpoint["state_dict"])
        name = rng.choice(list(state))
        value = state[name]
        state[name] = rng.choice(
            (value[..., None], value.flatten()[:1], value.double(), value.to(torch.int8), None, "weights", 3)
        )
        if rng.random() < 0.3 and value.is_floating_point():
            state[name] = torch.full_like(value, rng.choice((float("nan"), float("inf"), 1e30)))
        return checkpoint | {"state_dict": state}
    if kind == 3:  # a tensor is missing, or has another name
        state = dict(checkpoint["state_dict"])
        value = state.pop(rng.choice(list(state)))
        return checkpoint | {"state_dict": state | ({"module.weight": value} if rng.random() < 0.5 else {})}
    if kind == 4:
        return checkpoint | {"hyper_parameters": change_tree(rng, checkpoint["hyper_parameters"])}
    return change_tree(rng, {k: v for k, v in checkpoint.items() if k != "state_dict"}) | {
        "state_dict": checkpoint["state_dict"]
    } if rng.random() < 0.7 else {k: v for k, v in checkpoint.items() if k != rng.choice(list(checkpoint))}  # fmt: skip


@pytest.mark.slow
def test_damaged_checkpoints_give_one_line_errors(
    capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "write_mesh", lambda *_: None)  # takes most of the time
    failures = Failures(capfd)
    sound, wrong, out, executed = (tmp_path / name for name in ("sound", "wrong.ckpt", "out", "executed"))
    sound.mkdir()
    pose, mesh = save_pose_checkpoint(sound / "pose.ckpt"), save_mesh_checkpoint(sound / "mesh.ckpt")
    folder = save_pose_folder(sound / "folder")
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.full((40, 32, 3), 90, np.uint8))
    loaded = {path: torch.load(path, weights_only=True) for path in (pose, mesh)}
    for number, rng in seeded_generators("checkpoints", 300):
        package, whole = (hamipose, pose) if number % 3 < 2 else (meshtto, mesh)
        given = wrong
        if number % 3 == 1:  # a model folder
            given = tmp_path / "folder"
            shutil.copytree(folder, given, dirs_exist_ok=True)
            name = rng.choice(("model.safetensors", "config.yaml"))
            data = (folder / name).read_bytes()
            if name == "config.yaml" and rng.random() < 0.7:
                changed = change_tree(rng, yaml.safe_load(data))
                (given / name).write_text(yaml.safe_dump(changed))
            elif name == "config.yaml" and rng.random() < 0.5:
                (given / name).write_bytes(change_encoding(rng, data))
            else:
                (given / name).write_bytes(damage_bytes(rng, data))
        elif rng.random() < 0.5:
            wrong.write_bytes(damage_bytes(rng, whole.read_bytes()))
        else:
            content = damage_content(rng, loaded[whole], executed)
            torch.save(content, wrong, _use_new_zipfile_serialization=rng.random() < 0.8)
        words = ["predict", picture, "--checkpoint", given, "--out", out, "--device", "cpu"]
        words += ["--no-overlays"] if package is hamipose else ["--no-images", "--no-keypoints"]
        status = failures.run(package, words, f"{number} ({package.__module__.partition('.')[0]})")
        failures.check_files(out, number)
        if status == 2 and any(out.rglob("*.*")):
            failures.add("status 2 with results", number)
        if executed.exists():
            failures.add("content of the file was executed", number)
            executed.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(tmp_path / "folder", ignore_errors=True)
    failures.check(minimum=10)

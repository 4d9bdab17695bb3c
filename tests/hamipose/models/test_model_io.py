from pathlib import Path

import pytest
import torch
import yaml

from hamipose.errors import UserError
from hamipose.models.model_io import FORMAT, ModelInfo, read_model_folder, save_model_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    info = ModelInfo("body16", "test_resnet", (8, 8, 8), 64, "HamiPose")
    return save_model_folder(tmp_path / "model", info.network(), info)


def change(folder: Path, **options: object) -> None:
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content.update(options)
    (folder / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))


def test_model_folder_restores_network_and_info(folder: Path):
    network, info = read_model_folder(folder)
    assert info == ModelInfo("body16", "test_resnet", (8, 8, 8), 64, "HamiPose")
    assert not network.training
    save_model_folder(folder / "copy", network, info)
    again, _ = read_model_folder(folder / "copy")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_model_folder_contains_only_its_files(folder: Path):
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "model.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hamipose_model": FORMAT + 1}, f"format {FORMAT + 1}"),
        ({"hamipose_model": None}, "not the config of a model folder"),
        ({"backbone": None}, "lacks backbone"),
        ({"skeleton": "octopus"}, "octopus"),
        ({"deconv_channels": [16, 16, 16]}, "does not contain the weights"),
    ],
)
def test_invalid_configs_are_rejected(folder: Path, options: dict[str, object], message: str):
    change(folder, **options)
    with pytest.raises(UserError, match=message):
        read_model_folder(folder)


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_missing_and_damaged_files_are_reported(folder: Path, name: str):
    (folder / name).write_bytes((folder / name).read_bytes()[:40] + b"\x00{")
    with pytest.raises(UserError, match=name):
        read_model_folder(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        read_model_folder(folder)

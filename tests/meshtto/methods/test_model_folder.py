"""Model folders hold the networks of a checkpoint and the options that rebuild them."""

from pathlib import Path

import pytest
import torch
import yaml

from hamipose.errors import UserError
from meshtto.cli import main
from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods import Dual
from meshtto.methods.checkpoint import load, load_networks
from meshtto.methods.model_folder import read_model_folder
from meshtto.methods.options import AuxiliaryOptions, RegressorOptions, TrainingOptions


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Dual, Path]:
    torch.manual_seed(0)
    options = RegressorOptions(backbone="test_resnet", width=16)
    method = Dual(torch.optim.Adam, options, AuxiliaryOptions(iterations=2)).eval()
    method.hparams["crop"] = [32, 32]
    path = tmp_path / "dual.ckpt"
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    return method, path


def test_folder_predicts_as_its_checkpoint(tiny, saved: tuple[Dual, Path], tmp_path: Path):
    method, path = saved
    for name, half in (("full", []), ("half", ["--half"])):
        assert main(["export", "--checkpoint", str(path), "--out", str(tmp_path / name), *half]) == 0
    crops = MeshCrops(tiny.DotMeshes(2, 5), (32, 32))
    batch = collate([crops[0], crops[1]])
    full, half = load(tmp_path / "full"), load(tmp_path / "half")
    assert full.hparams["crop"] == [32, 32]
    assert full.auxiliary.head.iterations == 2
    with torch.no_grad():
        assert torch.equal(full(batch).rotations, method(batch).rotations)
        assert torch.equal(full.pseudo(batch).rotations, method.pseudo(batch).rotations)
        torch.testing.assert_close(half(batch).rotations, method(batch).rotations, atol=5e-3, rtol=0)
    assert all(p.dtype == torch.float32 for p in half.parameters())
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]


def test_a_run_starts_from_a_folder(saved: tuple[Dual, Path], tmp_path: Path):
    method, path = saved
    main(["export", "--checkpoint", str(path), "--out", str(tmp_path / "folder")])
    fresh = Dual(
        torch.optim.Adam,
        RegressorOptions(backbone="test_resnet", width=16),
        AuxiliaryOptions(iterations=2),
        training=TrainingOptions(init_from=str(tmp_path / "folder")),
    )
    load_networks(fresh)
    for name, value in method.regressor.state_dict().items():
        assert torch.equal(fresh.regressor.state_dict()[name], value)


def test_damaged_folders_are_one_line(saved: tuple[Dual, Path], tmp_path: Path):
    folder = tmp_path / "folder"
    main(["export", "--checkpoint", str(saved[1]), "--out", str(folder)])
    config = folder / "config.yaml"
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**content, "meshtto_model": 99}))
    with pytest.raises(UserError, match="has format 99, but this meshtto"):
        read_model_folder(folder)
    config.write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "meshtto_model"}))
    with pytest.raises(UserError, match="meshtto_model is missing"):
        load(folder)
    config.write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "regressor"}))
    with pytest.raises(UserError, match="was not saved by meshtto"):
        load(folder)
    config.write_text(yaml.safe_dump(content))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match="is cut short or damaged; copy the model folder again"):
        load(folder)
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "none")


def test_weights_beyond_half_precision_are_refused(saved: tuple[Dual, Path], tmp_path: Path, capsys):
    method, path = saved
    with torch.no_grad():
        method.regressor.head.fc2.weight[0, 0] = 1e6
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    assert main(["export", "--checkpoint", str(path), "--out", str(tmp_path / "half"), "--half"]) == 2
    assert "too large for half precision" in capsys.readouterr().err

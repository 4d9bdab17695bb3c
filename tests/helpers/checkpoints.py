"""Untrained models with a few hundred thousand parameters as files: a model folder and checkpoints of both packages."""

from pathlib import Path

import torch

from hamipose.models.model_io import ModelInfo, save_model_folder
from meshtto.methods import Regression
from meshtto.methods.options import RegressorOptions, TestTimeOptions
from meshtto.test_time import SGD, Phase

INFO = ModelInfo("body16", "test_resnet", (8, 8, 8), 32, "SourceOnly")


def save_pose_folder(path: Path) -> Path:
    """Save a model folder of a pose network for crops of 32 px."""
    torch.manual_seed(0)
    return save_model_folder(path, INFO.network(), INFO)


def save_pose_checkpoint(path: Path) -> Path:
    """Save the same network as a checkpoint in the format of `fit`."""
    torch.manual_seed(0)
    state = {f"network.{name}": value for name, value in INFO.network().state_dict().items()}
    hparams = {
        "method": INFO.method,
        "skeleton": INFO.skeleton,
        "backbone": INFO.backbone,
        "deconv_channels": list(INFO.deconv_channels),
    }
    torch.save({"state_dict": state, "hyper_parameters": hparams, "image_size": INFO.image_size}, path)
    return path


def save_mesh_checkpoint(path: Path) -> Path:
    """Save a checkpoint of a mesh regressor for crops of 32 px."""
    torch.manual_seed(0)
    method = Regression(
        torch.optim.Adam,
        RegressorOptions(backbone="test_resnet", width=16),
        test_time=TestTimeOptions([Phase(1, SGD(1e-3), pseudo_mesh=False)]),
    )
    method.hparams["crop"] = [32, 32]
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, path)
    return path

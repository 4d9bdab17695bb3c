"""Images of meshes over the crops of the first people during training."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from meshtto.camera import crop_box
from meshtto.data.sampling import MeshCrops, collate
from meshtto.methods import MeshImages
from meshtto.methods.targets import crop_size

pytestmark = pytest.mark.slow


class Images:
    """Logger that accepts images."""

    def __init__(self) -> None:
        self.images: dict[str, np.ndarray] = {}

    def log_image(self, key: str, images: list[np.ndarray], step: int) -> None:
        self.images[f"{key} at {step}"] = images[0]


def batch_of(tiny: Any, count: int) -> Any:
    crops = MeshCrops(tiny.DotMeshes(count, 5), (32, 32))
    return collate([crops[i] for i in range(count)])


def trainer_of(logger: Images, epoch: int) -> Any:
    names = ["val", "test/dots"]
    return Mock(
        spec=Trainer,
        state=SimpleNamespace(fn="fit"),
        loggers=[logger],
        global_step=7,
        current_epoch=epoch,
        max_epochs=20,
        sanity_checking=False,
        is_global_zero=True,
        datamodule=SimpleNamespace(evaluation_names=lambda: names),
    )


def test_mesh_images_show_crop_initial_and_adapted_mesh(tiny):
    torch.manual_seed(0)
    method = tiny.model({"method": "Dual"}).eval()
    batch, logger = batch_of(tiny, 3), Images()
    draw = MeshImages(count=2).on_validation_batch_end
    draw(trainer_of(logger, 4), method, None, batch, 0, 1)
    assert list(logger.images) == ["images/test/dots at 7"]
    image = logger.images["images/test/dots at 7"]
    assert image.shape == (2 * 192 + 4, 3 * 192 + 8, 3)
    crop = batch.image[0].permute(1, 2, 0).numpy()
    columns = [image[:192, 196 * i : 196 * i + 192] for i in range(3)]
    assert np.array_equal(columns[0], cv2.resize(crop, None, fx=6, fy=6, interpolation=cv2.INTER_LINEAR))
    assert (columns[1] != columns[0]).any()
    assert (columns[2] != columns[1]).any()

    prediction = method(batch)
    pixels = method.regressor.camera.project(
        prediction.vertices_m, prediction.camera, crop_box(batch), crop_size(batch)
    )
    seen = ((pixels[0].detach().numpy() + 0.5) * 6 - 0.5).clip(0, 191)
    painted = np.argwhere((columns[1] != columns[0]).any(-1))[:, ::-1]
    assert abs(painted.min(0) - seen.min(0)).max() < 3
    assert abs(painted.max(0) - seen.max(0)).max() < 3


def test_mesh_images_use_first_batches_of_due_epochs(tiny):
    method, batch, logger = tiny.model({"method": "Regression"}).eval(), batch_of(tiny, 2), Images()
    callback = MeshImages(count=4, every_n_epochs=5)
    for epoch, number, drawn in ((3, 0, 0), (4, 1, 0), (4, 0, 1), (19, 0, 1)):
        logger.images.clear()
        callback.on_validation_batch_end(trainer_of(logger, epoch), method, None, batch, number, 0)
        assert len(logger.images) == drawn

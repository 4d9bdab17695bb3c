import weakref
from collections.abc import Iterator

import numpy as np
import torch

from hamipose.adapt.preview import compute_preview
from hamipose.adapt.self_consistency import measure_self_consistency
from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo
from hamipose.types import UnlabeledSample

SIDE = 32


class Edges(Predictor):
    """Places each keypoint where the image is brightest in one color."""

    def __init__(self, sign: int):
        self.network, self.passes = torch.nn.Identity(), 1
        self.info = ModelInfo("body16", "none", (), SIDE)
        self.sign = sign

    def heatmaps(self, crops: torch.Tensor) -> torch.Tensor:
        maps = torch.nn.functional.avg_pool2d(self.sign * crops.float(), 4) / 255
        return maps[:, [0, 1, 2] * 5 + [0]]


def make_images(count: int) -> list[UnlabeledSample]:
    rng, frames = np.random.default_rng(0), []
    for number in range(count):
        height, width = rng.integers(40, 300, 2)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        box = np.array([3, 5, 0.6 * width, 0.8 * height], np.float32)
        frames.append(UnlabeledSample(image=image, box_px=box, name=f"{number}.png"))
    return frames


MODELS = {"before": Edges(1), "after": Edges(-1)}


def test_preview_predictions_equal_those_on_whole_images():
    frames = make_images(11)
    preview = compute_preview(frames, MODELS)
    for name, model in MODELS.items():
        for kept, whole in zip(preview.predictions[name], model.stream(frames), strict=True):
            assert np.array_equal(kept.keypoints_px, whole.keypoints_px)
            assert kept.name == whole.name
        assert measure_self_consistency(model, preview.crops) == measure_self_consistency(model, frames)
    assert [tile.shape for tile in preview.tiles] == [(224, 224, 3)] * 11


def test_compute_preview_holds_few_images_in_memory():
    alive: set[int] = set()
    most = 0

    def footage() -> Iterator[UnlabeledSample]:
        nonlocal most
        for number, frame in enumerate(make_images(20)):
            image = frame.image.copy()
            alive.add(number)
            weakref.finalize(image, alive.discard, number)
            most = max(most, len(alive))
            yield UnlabeledSample(image=image, box_px=frame.box_px, name=frame.name)
            del image

    compute_preview(footage(), MODELS)
    assert most <= 9
    assert not alive

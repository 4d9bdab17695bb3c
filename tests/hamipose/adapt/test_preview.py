import weakref
from collections.abc import Iterator

import numpy as np
import torch

from hamipose.adapt.preview import look
from hamipose.adapt.self_consistency import read_signs
from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import ModelInfo
from hamipose.types import UnlabeledSample

SIDE = 32


class Edges(Predictor):
    """Each keypoint is where the picture is brightest in one of its colors."""

    def __init__(self, sign: int):
        self.network, self.passes = torch.nn.Identity(), 1
        self.info = ModelInfo("body16", "none", (), SIDE)
        self.sign = sign

    def heatmaps(self, crops: torch.Tensor) -> torch.Tensor:
        maps = torch.nn.functional.avg_pool2d(self.sign * crops.float(), 4) / 255
        return maps[:, [0, 1, 2] * 5 + [0]]


def pictures(count: int) -> list[UnlabeledSample]:
    rng, frames = np.random.default_rng(0), []
    for number in range(count):
        height, width = rng.integers(40, 300, 2)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        box = np.array([3, 5, 0.6 * width, 0.8 * height], np.float32)
        frames.append(UnlabeledSample(image=image, box_px=box, name=f"{number}.png"))
    return frames


MODELS = {"before": Edges(1), "after": Edges(-1)}


def test_what_is_kept_says_of_the_footage_what_the_whole_pictures_say():
    frames = pictures(11)
    seen = look(frames, MODELS)
    for name, model in MODELS.items():
        for kept, whole in zip(seen.found[name], model.stream(frames), strict=True):
            assert np.array_equal(kept.keypoints_px, whole.keypoints_px)
            assert kept.name == whole.name
        assert read_signs(model, seen.crops) == read_signs(model, frames)
    assert [picture.shape for picture in seen.shown] == [(224, 224, 3)] * 11


def test_only_a_few_pictures_are_in_memory_at_a_time():
    alive: set[int] = set()
    most = 0

    def footage() -> Iterator[UnlabeledSample]:
        nonlocal most
        for number, frame in enumerate(pictures(20)):
            image = frame.image.copy()
            alive.add(number)
            weakref.finalize(image, alive.discard, number)
            most = max(most, len(alive))
            yield UnlabeledSample(image=image, box_px=frame.box_px, name=frame.name)
            del image

    look(footage(), MODELS)
    assert most <= 9
    assert not alive

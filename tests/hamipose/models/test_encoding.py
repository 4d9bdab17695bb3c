"""The encoding of targets is stored with a model, and every decoder of the model uses it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import hamipose
from hamipose.errors import UserError
from hamipose.evaluation.scores import Scores
from hamipose.heatmaps import encode
from hamipose.inference.predictor import Predictor
from hamipose.methods import CCSSL, HamiPose, SourceOnly, UniFrame
from hamipose.methods.options import TrainingOptions
from hamipose.methods.parts.multi_view import PseudoLabels
from hamipose.models.encoding import Encoding
from hamipose.models.model_io import ModelInfo, read_model_folder, save_model_folder
from hamipose.skeletons import BODY16
from hamipose.types import LabeledBatch
from tests.helpers.pose_training import TINY, make_data, make_trainer, sgd, train

QUANTIZED = TrainingOptions(quantize=True)


class Oracle(nn.Module):
    """Returns the published targets of fixed keypoints for any images."""

    def __init__(self, keypoints_px: torch.Tensor, size: int = 64):
        super().__init__()
        self.register_buffer("maps", encode(keypoints_px, (size, size), quantize=True))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.maps[: len(images)]


def points(count: int = 40) -> torch.Tensor:
    return 8 + 48 * torch.rand(count, 16, 2, generator=torch.Generator().manual_seed(0))


def batch_of(keypoints_px: torch.Tensor) -> LabeledBatch:
    count = len(keypoints_px)
    images = torch.zeros(count, 3, 64, 64, dtype=torch.uint8)
    matrix = torch.eye(2, 3).expand(count, 2, 3).clone()
    seen = torch.full((count, 16), 2)
    return LabeledBatch(images, keypoints_px, seen, matrix, [f"{i}" for i in range(count)], torch.arange(count))


def test_all_decoders_of_a_quantized_network_are_unbiased():
    """The mean error over many joints is 0, while plain decoding has 1.5 px."""
    truth = points()
    oracle = Oracle(truth)
    batch = batch_of(truth)
    found: dict[str, torch.Tensor] = {}

    predictor = Predictor(oracle, ModelInfo("body16", "none", (), 64, quantized=True), "cpu")
    images = [np.zeros((64, 64, 3), np.uint8)] * len(truth)
    people = predictor.predict(images, batch_size=len(truth))
    found["predict"] = torch.from_numpy(np.stack([person.keypoints_px for person in people]))
    found["decode"] = predictor.decode(oracle.maps)[0]

    method = SourceOnly(sgd, TINY, QUANTIZED)
    method.forward = oracle.forward  # type: ignore[method-assign]
    found["predict_step"] = method.predict_step(batch, 0).keypoints_px

    labels = PseudoLabels(quantize=True)
    labels.make(0, _WithParameter(oracle), [batch], views=1, discard_fraction=0.0)
    found["pseudo labels"] = labels.lookup(batch.name, torch.device("cpu"))[0]
    for name, keypoints_px in found.items():
        error = keypoints_px - truth
        assert error.abs().max() <= 2.01, name
        assert error.mean((0, 1)).abs().max() < 0.15, name


class _WithParameter(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.device = inner, nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images)


def test_strict_scores_decode_and_published_scores_compare_cells():
    truth = points()
    maps = encode(truth, (64, 64), quantize=True)
    scores = [Scores("x", ["student"], BODY16, 64, paper=True, encoding=Encoding(quantize=q)) for q in (False, True)]
    for score in scores:
        score.update("student", maps, truth, torch.full(truth.shape[:2], 2))
    plain, right = (score.compute() for score in scores)
    assert right["x/student/pck@0.05"] > 0.99
    assert plain["x/student/pck@0.05"] < 0.9, "an error of 1.5 px on both axes matters for a threshold of 3.2 px"
    for name in (name for name in plain if "paper" in name):
        assert plain[name] == right[name], "RegDA's and UniFrame's scores compare argmax with argmax"
    assert right["x/student/paper-tll/pck@0.05"] == 1


@pytest.mark.parametrize("quantized", [False, True])
def test_encoding_is_stored_in_checkpoint_and_folder(quantized: bool, dots: Path, tmp_path: Path):
    model = HamiPose(sgd, TINY, TrainingOptions(quantize=quantized))
    trainer = train(model, dots, tmp_path, {"steps_per_epoch": 1}, limit_val_batches=0)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    loaded = hamipose.load(tmp_path / "mine.ckpt", device="cpu")
    assert loaded.info.quantized is quantized
    folder = save_model_folder(tmp_path / "model", loaded.network, loaded.info)
    assert read_model_folder(folder)[1] == loaded.info
    assert hamipose.load(folder, device="cpu").info.quantized is quantized
    crops = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    shift = loaded.decode(loaded.heatmaps(crops))[0] - hamipose.heatmaps.decode(loaded.heatmaps(crops))[0]
    torch.testing.assert_close(shift, torch.full_like(shift, -1.5 if quantized else 0.0))
    assert loaded.info.statistics == "source and target"


def test_checkpoint_overrides_the_config_in_decoding(dots: Path, tmp_path: Path):
    model = SourceOnly(sgd, TINY, QUANTIZED)
    trainer = train(model, dots, tmp_path)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    scores = float(trainer.callback_metrics["val/student/pck@0.1"])
    other, tester = SourceOnly(sgd, TINY), make_trainer(tmp_path)
    tester.validate(other, make_data(dots), ckpt_path=tmp_path / "mine.ckpt", weights_only=True, verbose=False)
    assert other.quantized
    assert float(tester.callback_metrics["val/student/pck@0.1"]) == scores

    with pytest.raises(UserError, match=r"trained on quantized targets.*give the config it was trained with"):
        make_trainer(tmp_path, max_epochs=2).fit(
            SourceOnly(sgd, TINY), make_data(dots), ckpt_path=tmp_path / "mine.ckpt", weights_only=True
        )
    started = SourceOnly(sgd, TINY, TrainingOptions(init_from=str(tmp_path / "mine.ckpt")))
    with pytest.raises(UserError, match=r"trained on quantized targets.*set training.quantize to true"):
        make_trainer(tmp_path).fit(started, make_data(dots))


@pytest.mark.parametrize("stated", [None, False, True])
def test_earlier_checkpoints_are_decoded_by_their_runs_config(stated: Any, tmp_path: Path):
    """They do not state the encoding; without a config, the earlier default (sub-pixel) is used."""
    model = SourceOnly(sgd, TINY, QUANTIZED)
    hparams = {k: v for k, v in model.hparams.items() if k != "quantized"}
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": model.state_dict(), "hyper_parameters": hparams, "image_size": 64}, path)
    if stated is not None:
        config = {"model": {"init_args": {"training": {"quantize": stated}}}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert hamipose.load(path, device="cpu").info.quantized is bool(stated)


def test_teachers_and_pseudo_labels_use_the_encoding():
    assert HamiPose(sgd, TINY, QUANTIZED).adaptation.encoding.whole_pixels
    assert UniFrame(sgd, TINY, QUANTIZED).adaptation.encoding.whole_pixels
    assert CCSSL(sgd, TINY, QUANTIZED).labels.quantize
    assert not HamiPose(sgd, TINY).adaptation.encoding.whole_pixels

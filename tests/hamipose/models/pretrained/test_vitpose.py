"""A saved ViTPose of `transformers` with random weights has equal heatmaps and keypoints in hamipose."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hamipose import load
from hamipose.errors import UserError
from hamipose.heatmaps import encode
from hamipose.inference.predictor import Predictor
from hamipose.models.model_io import save_model_folder
from hamipose.models.preprocess import normalize
from hamipose.skeletons import COCO17

transformers = pytest.importorskip("transformers", reason="extra `vitpose` is not installed")


def saved(folder: Path, simple: bool = True, experts: int = 1, **options: int) -> Path:
    """Save a tiny network of transformers for 64 × 48 px."""
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_experts=experts,
        part_features=4 if experts > 1 else 0,
        out_indices=[2],
    )
    options = {"num_labels": 17, **options}
    config = transformers.VitPoseConfig(backbone_config=backbone, use_simple_decoder=simple, **options)
    torch.manual_seed(0)
    model = transformers.VitPoseForPoseEstimation(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("vitpose") / "simple")


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return load(folder, device="cpu")


@pytest.mark.parametrize(("simple", "experts"), [(True, 1), (False, 1), (True, 3)])
def test_heatmaps_equal_transformers(tmp_path: Path, simple: bool, experts: int):
    """Heatmaps of the crop's middle are those of the last layer for the features that the gate reads."""
    folder = saved(tmp_path / "model", simple, experts)
    model = load(f"vitpose:{folder}", device="cpu")
    crops = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    theirs = transformers.VitPoseForPoseEstimation.from_pretrained(folder).eval()
    index = {"dataset_index": torch.zeros(2, dtype=torch.long)} if experts > 1 else {}
    with torch.no_grad():
        expected = theirs(normalize(crops)[..., 8:56].contiguous(), **index).heatmaps
        logits = model.network.final(model.network.features(normalize(crops)))
    ours = model.heatmaps(crops)
    assert ours.shape == (2, 17, 16, 16)
    torch.testing.assert_close(ours[..., 2:14], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-4)
    assert model.skeleton == COCO17


def test_keypoints_equal_transformers_post_processing(model: Predictor):
    """Both decode Gaussian heatmaps to their mean; transformers blurs them first."""
    generator = torch.Generator().manual_seed(0)
    points = 8 + 44 * torch.rand(17, 2, generator=generator) * torch.tensor([0.7, 1.0])
    maps = encode(points[None], (64, 48), sigma=2.0)
    processor = transformers.VitPoseImageProcessor(size={"height": 64, "width": 48})
    # A box that, padded by a quarter, is the middle of the crop: 0 to 48 between the centers of its outermost pixels.
    box = [[[0.5 * 48 - 0.4 * 48, 0.5 * 64 - 0.4 * 64, 0.8 * 48, 0.8 * 64]]]
    ((found,),) = processor.post_process_pose_estimation(SimpleNamespace(heatmaps=maps), boxes=box)
    expected = found["keypoints"] * torch.tensor([47 / 48, 63 / 64]) + torch.tensor([8.0, 0.0])
    ours, confidence = model.network.decode(F.pad(maps, (2, 2)))
    assert float((ours[0] - expected).abs().max()) < 0.12  # of 64 px
    torch.testing.assert_close(confidence[0], found["scores"].squeeze().float(), rtol=1e-4, atol=1e-4)


def test_predict_locates_the_crop_in_the_photo(model: Predictor):
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    (person,) = model.predict(image, [[20.0, 0.0, 60.0, 80.0]])
    np.testing.assert_allclose(person.region_px, [10, 0, 80, 80], atol=1e-3)
    assert ((person.keypoints_px[:, 0] >= 18) & (person.keypoints_px[:, 0] <= 82)).all()
    assert ((person.confidence >= 0) & (person.confidence <= 1)).all()


def test_unusable_models_are_reported_in_one_line(
    folder: Path, model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "empty").mkdir()
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "empty/config.json").write_text(json.dumps(config))
    for path, message in (
        (tmp_path / "empty", "cannot be opened as a ViTPose model"),
        (f"vitpose:{tmp_path}", "cannot be opened as a ViTPose model"),
        (saved(tmp_path / "many", num_labels=20), "has 20 keypoints"),
        (saved(tmp_path / "coarse", scale_factor=2), "a cell for every 8 px"),
    ):
        with pytest.raises(UserError, match=message) as error:
            load(path, device="cpu")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is used from its own file"):
        save_model_folder(tmp_path / "out", model.network, model.info)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        UserError, match=r"needs transformers, which is not installed: pip install 'hamipose\[vitpose\]'"
    ):
        load(folder)

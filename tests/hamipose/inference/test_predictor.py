from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.inference.predictor import Predictor


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_batch_equals_single_images(model: Predictor, image_folder: Path):
    paths = sorted(image_folder.iterdir())
    together = model.predict(paths, batch_size=2)
    for path, found in zip(paths, together, strict=True):
        (alone,) = model.predict(path)
        np.testing.assert_allclose(found.keypoints_px, alone.keypoints_px, atol=1e-3)
        np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-5)
        assert found.name == str(path)


def test_arrays_equal_files(model: Predictor, image_folder: Path):
    path = image_folder / "p0.png"
    np.testing.assert_array_equal(model.predict(path)[0].keypoints_px, model.predict(read(path))[0].keypoints_px)


def test_box_equals_cropped_image(model: Predictor, image_folder: Path):
    image = read(image_folder / "p1.png")
    left, top, side = 17, 9, 32
    (boxed,) = model.predict(image, [(17.0, 9.0, 32.0, 32.0)])
    (cut,) = model.predict(image[top : top + side, left : left + side])
    apart = np.abs(boxed.keypoints_px - cut.keypoints_px - np.array([left, top])).max(-1)
    assert np.median(apart) < 0.1  # near its edge, only one of the two reads the pixels beyond
    assert (apart >= 0.75).sum() <= 2  # of 16; with torch 2.10 two, with 2.15 fewer
    np.testing.assert_allclose(boxed.region_px, [left, top, side, side], atol=1e-4)


def test_heatmaps_are_returned_only_on_request(model: Predictor, image_folder: Path):
    assert model.predict(image_folder / "p0.png")[0].heatmaps is None
    maps = model.predict(image_folder / "p0.png", heatmaps=True)[0].heatmaps
    assert maps is not None
    assert maps.shape == (16, 16, 16)


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), None, "float32"),
        (np.zeros((8, 8), np.uint8), None, "shape"),
        (np.zeros((8, 8, 3), np.uint8), [(0.0, 0.0, 0.0, 5.0)], "box of image 0"),
        (np.zeros((8, 8, 3), np.uint8), [(0.0, 0.0, 5.0, 5.0)] * 2, "2 boxes for 1"),
        ("missing.jpg", None, "missing.jpg"),
    ],
)
def test_invalid_input_is_rejected(model: Predictor, images: object, boxes: object, message: str):
    with pytest.raises(UserError, match=message):
        model.predict(images, boxes)  # type: ignore[arg-type]


def test_average_with_the_mirrored_crop_is_equivariant(model: Predictor, image_folder: Path):
    """The prediction for a mirrored image is the mirrored prediction, which holds for no asymmetric network alone."""
    both = Predictor(model.network, model.info, "cpu").average_mirrored()
    image = read(image_folder / "p0.png")
    width = image.shape[1]
    box = [[(width - 32) / 2, 4.0, 32.0, 32.0]]
    for predictor, equal in ((both, True), (model, False)):
        (one,) = predictor.predict(image, box, heatmaps=True)
        (other,) = predictor.predict(np.ascontiguousarray(image[:, ::-1]), box, heatmaps=True)
        assert one.heatmaps is not None
        assert other.heatmaps is not None
        mirrored = other.heatmaps[predictor.skeleton.mirror][..., ::-1]
        assert np.allclose(one.heatmaps, mirrored, atol=1e-3 * one.heatmaps.std()) == equal
    (alone,), (pair,) = (predictor.predict(image, box) for predictor in (model, both))
    assert not np.allclose(alone.keypoints_px, pair.keypoints_px)


def test_average_of_quantized_heatmaps_is_rejected(model: Predictor):
    quantized = Predictor(model.network, replace(model.info, quantized=True), "cpu")
    with pytest.raises(UserError, match="symmetrically"):
        quantized.average_mirrored()


@pytest.mark.parametrize(
    ("changes", "mirrored"), [({}, True), ({"quantized": True}, False), ({"skeleton": "hand21"}, False)]
)
def test_default_passes_average_the_mirrored_crop_of_bodies(model: Predictor, changes: dict, mirrored: bool):
    """Hands have no mirrored twin in their skeleton: a network knows hands of one side."""
    predictor = Predictor(model.network, replace(model.info, **changes), "cpu").use_default_passes()
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    plain = Predictor(model.network, replace(model.info, **changes), "cpu")
    plain.passes = predictor.passes
    same = np.allclose(plain.predict(image)[0].keypoints_px, predictor.predict(image)[0].keypoints_px)
    assert same != mirrored

"""Coordinates of images with an orientation tag, compared with the decoder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hamipose.errors import UserError
from hamipose.io.image_file import read_image
from hamipose.io.image_orientation import is_annotated_upright, orient_box, orient_points, read_image_header

WIDTH, HEIGHT = 40, 30


def tagged(path: Path, orientation: int) -> Path:
    """Write an image with one white block of 6 x 4 pixels at (5, 3)."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[3:7, 5:11] = 255
    tag = Image.Exif()
    tag[0x0112] = orientation
    Image.fromarray(image).save(path, exif=tag)
    return path


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_and_boxes_follow_the_decoder(tmp_path: Path, orientation: int, ending: str):
    path = tagged(tmp_path / f"a.{ending}", orientation)
    header = read_image_header(path)
    assert header is not None
    stored, upright = (read_image(path, upright=turn) for turn in (False, True))
    assert header.size(upright=False) == stored.shape[1::-1]
    assert header.size(upright=True) == upright.shape[1::-1]
    places = [np.argwhere(image.min(-1) > 128)[:, ::-1].astype(float) for image in (stored, upright)]
    turned = orient_points(places[0], header)
    assert {tuple(p) for p in turned.round().tolist()} == {tuple(p) for p in places[1].tolist()}
    np.testing.assert_allclose(orient_points(turned, header, back=True), places[0])
    boxes = [np.concatenate([p.min(0), p.max(0) + 1 - p.min(0)]) for p in places]
    np.testing.assert_allclose(orient_box(boxes[0], header), boxes[1])


def test_declaration_and_size_determine_the_orientation_of_annotations(tmp_path: Path):
    header = read_image_header(tagged(tmp_path / "a.png", 6))
    assert header is not None
    stored, upright = (WIDTH, HEIGHT), (HEIGHT, WIDTH)

    def is_upright(stated: tuple[int, int] | None, declared: bool | None) -> bool:
        return is_annotated_upright("a.png", header, stated, declared, "labels.json")

    assert [is_upright(stored, None), is_upright(upright, None), is_upright(None, None)] == [False, True, False]
    assert [is_upright(upright, True), is_upright(None, True), is_upright(stored, False)] == [True, True, False]
    with pytest.raises(UserError, match=r"a.png has 30 × 40 px, but labels.json states 40 × 30 px"):
        is_upright(stored, True)
    with pytest.raises(UserError, match=r"a.png has 40 × 30 px, but labels.json states 80 × 60 px"):
        is_upright((80, 60), None)


def test_other_files_have_no_header(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    assert read_image_header(tmp_path / "a.png") is None
    assert read_image_header(tmp_path / "none.png") is None

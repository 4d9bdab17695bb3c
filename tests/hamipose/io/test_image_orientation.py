"""Frames of pictures with an orientation tag, against the decoder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hamipose.errors import UserError
from hamipose.io.image_file import read_image
from hamipose.io.image_orientation import is_annotated_upright, orient_box, orient_points, read_image_header

WIDTH, HEIGHT = 40, 30


def tagged(path: Path, orientation: int) -> Path:
    """A picture with one white block of 6 x 4 pixels at (5, 3)."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[3:7, 5:11] = 255
    tag = Image.Exif()
    tag[0x0112] = orientation
    Image.fromarray(image).save(path, exif=tag)
    return path


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_and_boxes_turn_as_the_decoder_does(tmp_path: Path, orientation: int, ending: str):
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


def test_which_frame_a_file_was_made_for(tmp_path: Path):
    header = read_image_header(tagged(tmp_path / "a.png", 6))
    assert header is not None
    stored, upright = (WIDTH, HEIGHT), (HEIGHT, WIDTH)

    def frame(stated: tuple[int, int] | None, declared: bool | None) -> bool:
        return is_annotated_upright("a.png", header, stated, declared, "labels.json")

    assert [frame(stored, None), frame(upright, None), frame(None, None)] == [False, True, False]
    assert [frame(upright, True), frame(None, True), frame(stored, False)] == [True, True, False]
    with pytest.raises(UserError, match=r"a.png has 30 × 40 px, but labels.json states 40 × 30 px"):
        frame(stored, True)
    with pytest.raises(UserError, match=r"a.png has 40 × 30 px, but labels.json states 80 × 60 px"):
        frame((80, 60), None)


def test_what_is_no_picture_has_no_header(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert read_image_header(tmp_path / "a.png") is None
    assert read_image_header(tmp_path / "none.png") is None

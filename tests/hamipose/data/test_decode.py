"""Pictures are read whole or refused in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hamipose.data.decode import UnreadableImage, read_image
from hamipose.data.images import ImageFolder


@pytest.fixture
def picture() -> np.ndarray:
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8), (96, 64))
    return np.ascontiguousarray(smooth)


def test_channels_are_rgb(tmp_path: Path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert (read_image(tmp_path / "red.png")[0, 0] == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_missing_and_foreign_files_are_refused_in_a_line(tmp_path: Path, picture: np.ndarray, suffix: str):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), picture)
    whole = path.read_bytes()
    read_image(path)
    for content in (whole[: len(whole) // 2], whole[:-30], b"", b"no picture", whole[:3]):
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=rf"{path}") as error:
            read_image(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UnreadableImage, match="No such file"):
        read_image(tmp_path / "none.jpg")


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut(tmp_path: Path, picture: np.ndarray):
    jpeg = bytearray(cv2.imencode(".jpg", picture)[1].tobytes())
    thumbnail = cv2.imencode(".jpg", picture[:8, :8])[1].tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = bytes(jpeg[:2]) + segment + bytes(jpeg[2:])
    path = tmp_path / "a.jpg"
    path.write_bytes(whole + b"trailer of a camera")
    assert read_image(path).shape == picture.shape
    path.write_bytes(whole[:-40])
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(path)


def test_reduced_pixels_are_means_of_blocks(tmp_path: Path, picture: np.ndarray):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
    full, half = read_image(path).astype(float), read_image(path, 2).astype(float)
    assert half.shape == (32, 48, 3)
    blocks = full.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(blocks - half).mean() < 2


def test_a_picture_too_large_for_pillow_is_read_whole(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    cv2.imwrite(str(tmp_path / "a.jpg"), picture)
    folder = ImageFolder(str(tmp_path))
    folder.decode_side = 16
    assert folder[0].image.shape == (16, 24, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", picture.shape[0] * picture.shape[1] // 2 - 1)
    assert folder[0].image.shape == picture.shape


def test_a_photo_that_lies_on_its_side_is_turned_where_nobody_annotated_it(tmp_path: Path):
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:, :40] = (250, 0, 0)  # red on the left; tag 6: turn by 90 degrees clockwise to see it upright
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "phone.jpg", exif=tag, quality=95)
    assert read_image(tmp_path / "phone.jpg").shape == (40, 80, 3)
    upright = read_image(tmp_path / "phone.jpg", upright=True)
    assert upright.shape == (80, 40, 3)
    assert upright[:30, :, 0].min() > 200
    assert upright[50:, :, 0].max() < 50
    sample = ImageFolder(str(tmp_path))[0]
    np.testing.assert_array_equal(sample.image, upright)
    np.testing.assert_array_equal(sample.box_px, [0, 0, 40, 80])

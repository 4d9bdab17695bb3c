"""Images are read completely, or an error of one line is raised."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.errors import UserError
from hamipose.io.image_file import UnreadableImage, read_image, read_image_box


@pytest.fixture
def image() -> np.ndarray:
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8), (96, 64))
    return np.ascontiguousarray(smooth)


def test_channels_are_rgb(tmp_path: Path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert (read_image(tmp_path / "red.png")[0, 0] == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_missing_and_foreign_files_raise_one_line(tmp_path: Path, image: np.ndarray, suffix: str):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), image)
    complete = path.read_bytes()
    read_image(path)
    for content in (complete[: len(complete) // 2], complete[:-30], b"", b"not an image", complete[:3]):
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=rf"{path}") as error:
            read_image(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UnreadableImage, match="No such file"):
        read_image(tmp_path / "none.jpg")


def test_a_truncated_image_with_a_thumbnail_raises(tmp_path: Path, image: np.ndarray):
    jpeg = bytearray(cv2.imencode(".jpg", image)[1].tobytes())
    thumbnail = cv2.imencode(".jpg", image[:8, :8])[1].tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    complete = bytes(jpeg[:2]) + segment + bytes(jpeg[2:])
    path = tmp_path / "a.jpg"
    path.write_bytes(complete + b"trailer of a camera")
    assert read_image(path).shape == image.shape
    path.write_bytes(complete[:-40])
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(path)


def test_reduced_pixels_are_means_of_blocks(tmp_path: Path, image: np.ndarray):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    full, half = read_image(path).astype(float), read_image(path, 2).astype(float)
    assert half.shape == (32, 48, 3)
    blocks = full.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(blocks - half).mean() < 2


def test_an_image_too_large_for_pillow_is_read_completely(
    tmp_path: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    folder = ImageFolder(str(tmp_path))
    folder.decode_side = 16
    assert folder[0].image.shape == (16, 24, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", image.shape[0] * image.shape[1] // 2 - 1)
    assert folder[0].image.shape == image.shape


def test_orientation_tags_are_applied_to_images_without_annotations(tmp_path: Path):
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:, :40] = (250, 0, 0)  # red on the left; tag 6: rotated by 90 degrees clockwise it is upright
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


def ramp() -> np.ndarray:
    """Return an image with smooth colors from 0 to 255 in every channel."""
    x = np.linspace(0, 255, 96)
    return np.broadcast_to(np.stack([x, x[::-1], x], -1)[None], (64, 96, 3)).round().astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("reduction", [1, 2])
def test_fewer_bits_in_a_16_bit_file_keep_their_brightness(tmp_path: Path, suffix: str, bits: int, reduction: int):
    path = tmp_path / f"a{suffix}"
    deep = (ramp().astype(np.float64) * ((1 << bits) - 1) / 255).round().astype(np.uint16)
    cv2.imwrite(str(path), deep)
    pixels = read_image(path, reduction)
    assert pixels.dtype == np.uint8
    expected = cv2.resize(ramp(), (96 // reduction, 64 // reduction), interpolation=cv2.INTER_AREA)
    assert np.abs(pixels[..., ::-1].astype(int) - expected).max() <= 3


def test_float_pixels_are_an_unsupported_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    cv2.imwrite(str(tmp_path / "a.tiff"), ramp().astype(np.float32) / 255)
    with pytest.raises(UnreadableImage, match="has float32 pixels, which are not supported; convert it to 8 or 16"):
        read_image(tmp_path / "a.tiff")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".avif", ".gif", ".jp2", ".ppm", ".jfif"])
@pytest.mark.parametrize("reduction", [1, 2])
def test_formats_of_opencv_or_pillow_are_read(tmp_path: Path, suffix: str, reduction: int):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(ramp()).save(path, "JPEG" if suffix == ".jfif" else None)
    pixels = read_image(path, reduction)
    assert pixels.shape == (64 // reduction, 96 // reduction, 3)
    assert np.abs(pixels.astype(int) - cv2.resize(ramp(), (96 // reduction, 64 // reduction))).mean() < 8


@pytest.mark.parametrize("suffix", [".avif", ".gif"])
def test_pillow_reads_formats_that_opencv_lacks(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(ramp()).save(tmp_path / f"a{suffix}")
    monkeypatch.setattr(cv2, "imdecode", lambda data, flag: None)
    pixels = read_image(tmp_path / f"a{suffix}", 2)
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - cv2.resize(ramp(), (48, 32))).mean() < 8


def test_heic_images_are_read_or_skipped_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.HEIC"
    pillow_heif.from_pillow(Image.fromarray(ramp())).save(path, quality=90)
    (tmp_path / "b.jpg").write_bytes(path.read_bytes())  # some programs use this suffix
    for name in ("a.HEIC", "b.jpg"):
        assert np.abs(read_image(tmp_path / name).astype(int) - ramp()).mean() < 4
        assert read_image(tmp_path / name, 2).shape == (32, 48, 3)
    assert len(ImageFolder(str(tmp_path))) == 2
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadableImage, match="is a damaged HEIC file"):
        read_image(path)
    monkeypatch.setattr("hamipose.io.media_types.heic_installed", lambda: False)
    monkeypatch.setattr("hamipose.io.heic.heic_installed", lambda: False)
    with pytest.raises(UnreadableImage, match=r"is HEIC, .*install pillow-heif.*pip install 'hamipose\[heic\]'"):
        read_image(tmp_path / "b.jpg")
    folder = ImageFolder(str(tmp_path))
    assert [p.name for p in folder.paths] == ["b.jpg"]
    (line,) = folder.skipped_messages()
    assert "1 file" in line
    assert "a.HEIC: install pillow-heif to read it: pip install 'hamipose[heic]'" in line
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"contains no image .*a\.HEIC: install pillow-heif"):
        ImageFolder(str(tmp_path)).prepare()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "expected"), [(POINTER, "a Git LFS pointer"), (b"<!DOCTYPE html><p>", "a web page")]
)
def test_the_type_of_a_foreign_file_is_named(tmp_path: Path, content: bytes, expected: str):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"a.jpg is {expected}"):
        read_image(tmp_path / "a.jpg")


def test_damaged_images_are_read_or_raise_without_library_output(
    tmp_path: Path, image: np.ndarray, capfd: pytest.CaptureFixture[str]
):
    rng, path, raised = np.random.default_rng(0), tmp_path / "a.jpg", 0
    originals = []
    for suffix in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "AVIF"):
        Image.fromarray(image).save(path, suffix)
        originals.append(path.read_bytes())
    for number in range(140):
        content = bytearray(originals[number % len(originals)])
        for at in rng.integers(len(content), size=8):
            content[at] = rng.integers(256)
        path.write_bytes(content[: rng.integers(len(content))] if number % 3 == 0 else content)
        read_image_box(path)
        try:
            pixels = read_image(path)
        except UnreadableImage as error:
            raised += "\n" not in str(error)
        else:
            assert (pixels.dtype, pixels.ndim) == (np.uint8, 3)
    assert raised > 40
    assert capfd.readouterr().err == ""

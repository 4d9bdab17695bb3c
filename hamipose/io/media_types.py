"""Suffixes of supported and of known but unsupported formats of images and videos."""

from pathlib import Path

from hamipose.extras import is_installed

__all__ = [
    "HEIC_SUFFIXES",
    "IMAGE_SUFFIXES",
    "INSTALL_HEIC",
    "UNSUPPORTED_IMAGE_SUFFIXES",
    "UNSUPPORTED_VIDEO_SUFFIXES",
    "VIDEO_SUFFIXES",
    "heic_installed",
    "is_image",
    "unsupported_reason",
]

#: Images that OpenCV reads, or Pillow if a build of OpenCV lacks the format.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".avif", ".gif", ".jp2", ".ppm", ".pgm"),
)
#: Images of iPhones and some cameras, which pillow-heif reads if it is installed.
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
INSTALL_HEIC = "install pillow-heif to read it: pip install 'hamipose[heic]'"
#: Unsupported images: raw files of cameras, drawings, formats of other programs.
UNSUPPORTED_IMAGE_SUFFIXES = (
    *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng", ".orf", ".raf", ".rw2", ".pef", ".srw"),
    *(".psd", ".xcf", ".svg", ".eps", ".ai", ".jxl", ".tga", ".ico", ".pcx", ".exr", ".hdr", ".pfm", ".fits", ".dcm"),
)

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    *(".wmv", ".asf", ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".flv", ".ogv", ".vob"),
)
UNSUPPORTED_VIDEO_SUFFIXES = (".rm", ".rmvb", ".swf", ".braw", ".r3d", ".insv", ".lrv")


def heic_installed() -> bool:
    """Return whether pillow-heif, which reads HEIC, is installed."""
    return is_installed("pillow_heif")


def is_image(path: Path) -> bool:
    """Return whether a file has the suffix of a supported image format."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in HEIC_SUFFIXES and heic_installed())


def unsupported_reason(path: Path) -> str | None:
    """Return why an image or a video cannot be read, by its suffix; None for other files.

    >>> unsupported_reason(Path("a.CR2"))
    'format not supported (.cr2); convert it to JPEG or PNG'
    >>> unsupported_reason(Path("notes.txt"))
    """
    suffix = path.suffix.lower()
    if suffix in HEIC_SUFFIXES and not heic_installed():
        return INSTALL_HEIC
    if suffix in UNSUPPORTED_IMAGE_SUFFIXES:
        return f"format not supported ({suffix}); convert it to JPEG or PNG"
    if suffix in UNSUPPORTED_VIDEO_SUFFIXES:
        return f"format not supported ({suffix}); convert it to MP4"
    return None

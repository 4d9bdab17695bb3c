"""Which formats of images and videos are read, by the endings of file names, and which are known but not read."""

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

#: Images read by OpenCV, and by Pillow where a build of OpenCV lacks the format.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".avif", ".gif", ".jp2", ".ppm", ".pgm"),
)
#: Images of iPhones and some cameras, read by pillow-heif where it is installed.
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
INSTALL_HEIC = "install pillow-heif to read it: pip install 'hamipose[heic]'"
#: Images that are not read: raw files of cameras, drawings, images of other programs.
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
    """Return whether pillow-heif, the reader of HEIC, is installed."""
    return is_installed("pillow_heif")


def is_image(path: Path) -> bool:
    """Return whether a file's ending is that of an image that can be read here."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in HEIC_SUFFIXES and heic_installed())


def unsupported_reason(path: Path) -> str | None:
    """Return why an image or a video cannot be read, by its ending; None for other files.

    >>> unread_reason(Path("a.CR2"))
    'format not supported (.cr2); convert it to JPEG or PNG'
    >>> unread_reason(Path("notes.txt"))
    """
    suffix = path.suffix.lower()
    if suffix in HEIC_SUFFIXES and not heic_installed():
        return INSTALL_HEIC
    if suffix in UNSUPPORTED_IMAGE_SUFFIXES:
        return f"format not supported ({suffix}); convert it to JPEG or PNG"
    if suffix in UNSUPPORTED_VIDEO_SUFFIXES:
        return f"format not supported ({suffix}); convert it to MP4"
    return None

"""The reader of images under the name by which data sets import it; see :mod:`hamipose.io.image_file`."""

from hamipose.io.image_file import UnreadableImage, decode_image, header_box, read_image

__all__ = ["UnreadableImage", "decode_image", "header_box", "read_image"]

"""A user's images without annotations, one person in each: a folder, or a single image."""

from pathlib import Path

from hamipose.data.base import UnlabeledDataset
from hamipose.errors import UserError
from hamipose.geometry.crops import whole_image_box
from hamipose.io.image_file import read_image, read_image_box
from hamipose.io.image_folder import is_overlay, list_images
from hamipose.io.media_types import IMAGE_SUFFIXES
from hamipose.types import UnlabeledSample

__all__ = ["ImageFolder", "SingleImage"]


class ImageFolder(UnlabeledDataset):
    """All images in a folder and its subfolders, sorted by path; the box is the whole image.

    Hidden files are skipped and links to folders followed, see :func:`hamipose.io.image_folder.list_images`.

    Args:
        root: the folder.
        cache: keep decoded images in memory.
    """

    upright = True  # there are no annotations, and phones store rotated images

    def __init__(self, root: str, cache: bool = False):
        self.root = Path(root)
        self.cache = cache
        self._paths: list[Path] | None = None
        self._skipped: list[str] = []

    @property
    def paths(self) -> list[Path]:
        """Return the images, listed on first use, without overlays that `predict` has drawn.

        Raises:
            UserError: the folder does not exist, cannot be opened, or contains no image.
        """
        if self._paths is None:
            if not self.root.is_dir():
                raise UserError(f"image folder {self.root} does not exist; give a folder of images")
            try:
                found = list_images(self.root)
            except OSError as error:
                raise UserError(f"image folder {self.root} cannot be opened ({error.strerror})") from None
            paths = [path for path in found.paths if not is_overlay(path.relative_to(self.root))]
            if not paths:
                kinds = "except overlays drawn by predict" if found.paths else f"({', '.join(IMAGE_SUFFIXES)})"
                skipped = f"; {'; '.join(found.skipped)}" if found.skipped else ""
                raise UserError(f"image folder {self.root} contains no image {kinds}{skipped}")
            self._paths, self._skipped = paths, found.skipped
        return self._paths

    def prepare(self) -> None:
        """List the images."""
        _ = self.paths

    def skipped_messages(self) -> list[str]:
        """Return a message about each unsupported kind of image in the folder."""
        _ = self.paths
        return self._skipped

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> UnlabeledSample:
        path = self.paths[index]
        image, reduction = self.decode(path, read_image_box(path) if self.decode_side > 0 else None)
        return UnlabeledSample(image, whole_image_box(image.shape[1], image.shape[0]), str(path), reduction)


class SingleImage(UnlabeledDataset):
    """One image, read as by :class:`ImageFolder`.

    Args:
        path: the image file.
    """

    upright = ImageFolder.upright

    def __init__(self, path: Path):
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> UnlabeledSample:
        image = read_image(self.path, upright=self.upright)
        return UnlabeledSample(image, whole_image_box(image.shape[1], image.shape[0]), str(self.path))

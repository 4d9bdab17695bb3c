"""A plain folder of pictures, or one picture; one person in each, nothing annotated: the target a user brings."""

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
    """Every picture below a folder, sorted by path; the whole picture is the box.

    Hidden files are skipped and links to folders followed, as :func:`hamipose.io.image_folder.list_images` says.

    Args:
        root: the folder; searched through to any depth.
        cache: keep decoded pictures in memory.
    """

    upright = True  # nobody has annotated them, and phones store pictures lying on their side

    def __init__(self, root: str, cache: bool = False):
        self.root = Path(root)
        self.cache = cache
        self._paths: list[Path] | None = None
        self._left_out: list[str] = []

    @property
    def paths(self) -> list[Path]:
        """The pictures, listed on first use, without those that `predict` has drawn of them.

        Raises:
            UserError: there is no such folder, it cannot be opened, or no other picture is in it.
        """
        if self._paths is None:
            if not self.root.is_dir():
                raise UserError(f"image folder {self.root} does not exist; give a folder of pictures")
            try:
                found = list_images(self.root)
            except OSError as error:
                raise UserError(f"image folder {self.root} cannot be opened ({error.strerror})") from None
            paths = [path for path in found.paths if not is_overlay(path.relative_to(self.root))]
            if not paths:
                only = "but those that predict has drawn" if found.paths else f"({', '.join(IMAGE_SUFFIXES)})"
                also = f"; {'; '.join(found.skipped)}" if found.skipped else ""
                raise UserError(f"image folder {self.root} holds no picture {only}{also}")
            self._paths, self._left_out = paths, found.skipped
        return self._paths

    def prepare(self) -> None:
        _ = self.paths

    def skipped_messages(self) -> list[str]:
        """Return a line for each kind of picture in the folder that is not supported."""
        _ = self.paths
        return self._left_out

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> UnlabeledSample:
        path = self.paths[index]
        image, reduction = self.decode(path, read_image_box(path) if self.decode_side > 0 else None)
        return UnlabeledSample(image, whole_image_box(image.shape[1], image.shape[0]), str(path), reduction)


class SingleImage(UnlabeledDataset):
    """A picture by its path, as it stands in an :class:`ImageFolder`.

    Args:
        path: the picture.
    """

    upright = ImageFolder.upright

    def __init__(self, path: Path):
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> UnlabeledSample:
        image = read_image(self.path, upright=self.upright)
        return UnlabeledSample(image, whole_image_box(image.shape[1], image.shape[0]), str(self.path))

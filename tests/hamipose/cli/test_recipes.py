"""All recipes of adaptation methods start from a source-trained network."""

import inspect
from pathlib import Path
from typing import Any

import pytest

import hamipose.methods
from hamipose.config.config_file import import_class, load_config
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError
from hamipose.methods import CCSSL, HamiPose, RegDA
from hamipose.methods.options import AdaptationOptions
from hamipose.models.pretrained.catalog import PEOPLE
from tests.helpers.pose_training import TINY, make_data, make_trainer, sgd

CONFIGS = sorted(p for p in configs_folder().rglob("*.yaml") if "meshtto" not in p.parts)
#: Configs that train a start for others → the checkpoint that they write.
STARTS = {
    "demo_start.yaml": "runs/demo_start/checkpoints/last.ckpt",
    "findings/people_start.yaml": "runs/findings/people_start/checkpoints/last.ckpt",
    "small_hands/start.yaml": "runs/small_hands_start/checkpoints/last.ckpt",
    "small_hands/to_photos_start.yaml": "runs/small_hands_to_photos_start/checkpoints/last.ckpt",
    "small_lsp/start.yaml": "runs/small_lsp_start/checkpoints/last.ckpt",
}
#: Methods that see no target image.
SOURCE_ONLY = {"SourceOnly", "SAM", "SAGM", "Fishr", "GGA"}


def name_of(path: Path) -> str:
    return str(path.relative_to(configs_folder()))


def compose_config(path: Path) -> dict[str, Any]:
    """Return the options of a config, with the defaults of the method's arguments."""
    content = load_config(path)
    arguments = content["model"].setdefault("init_args", {})
    parameters = inspect.signature(import_class(content["model"]["class_path"])).parameters
    for name, parameter in parameters.items():
        if name not in arguments and parameter.default is not parameter.empty:
            arguments[name] = parameter.default
    return content


def source_only_steps(arguments: dict[str, Any]) -> int:
    """Return the source-only steps from the method's argument or from the adaptation options."""
    if "pretrain_steps" in arguments:
        return arguments["pretrain_steps"]
    adaptation = arguments.get("adaptation") or {}
    if isinstance(adaptation, AdaptationOptions):
        return adaptation.pretrain_steps
    return adaptation.get("pretrain_steps", AdaptationOptions().pretrain_steps)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_recipes_start_from_a_source_trained_network(path: Path):
    content = compose_config(path)
    arguments = content["model"]["init_args"]
    method = content["model"]["class_path"].rpartition(".")[2]
    training = arguments.get("training") or {}
    start = training.get("init_from") if isinstance(training, dict) else training.init_from
    total = content["data"]["steps_per_epoch"] * content["trainer"]["max_epochs"]
    logger = content["trainer"]["logger"]["init_args"]
    if name_of(path) in STARTS:
        assert method == "SourceOnly"
        assert start is None, "a start must not start from itself"
        written = Path(logger["save_dir"], logger["name"], logger["version"], "checkpoints/last.ckpt")
        assert str(written) == STARTS[name_of(path)]
        return
    if start is not None:
        assert start in (*STARTS.values(), PEOPLE.name), "a config of the same folder must train the start, or it ships"
    if method in SOURCE_ONLY:
        return
    steps = source_only_steps(arguments)
    assert start is not None or steps > 0
    assert steps < total, "the run must adapt"
    if start is None:  # at the paper's scale: as in UniFrame, or as published for the method
        assert steps == (35_000 if method == "RegDA" else 20_000)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_recipes_do_not_use_target_statistics(path: Path):
    adaptation = compose_config(path)["model"]["init_args"].get("adaptation", {})
    found = adaptation.batchnorm if isinstance(adaptation, AdaptationOptions) else adaptation.get("batchnorm", "copy")
    assert found == "copy"


def test_methods_use_copied_statistics_by_default():
    for name in hamipose.methods._MODULES:
        default = getattr(
            inspect.signature(getattr(hamipose.methods, name)).parameters.get("adaptation"), "default", None
        )
        if isinstance(default, AdaptationOptions):
            assert default.batchnorm == "copy", name


@pytest.mark.parametrize("pretrain_steps", [4, 9])
@pytest.mark.parametrize("method", [HamiPose, RegDA, CCSSL])
def test_run_without_adaptation_steps_is_rejected(method: type, pretrain_steps: int, dots: Path, tmp_path: Path):
    options: dict[str, Any] = {"pretrain_steps": pretrain_steps}
    if method is HamiPose:
        options = {"adaptation": AdaptationOptions(pretrain_steps=pretrain_steps)}
    with pytest.raises(UserError, match=rf"pretrain_steps is {pretrain_steps} and the run has 4 steps in total"):
        make_trainer(tmp_path).fit(method(sgd, TINY, **options), make_data(dots))

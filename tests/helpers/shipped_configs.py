"""Shipped configs reduced to tiny networks and data; their method, callbacks, loggers and options are kept."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hamipose.config.config_file import load_config

CONFIGS = Path(__file__).parents[2] / "configs"

#: Options that move the phases of methods into the six steps of a tiny run.
_EARLY = {
    "pretrain_steps": 2,
    "penalty_start": 2,
    "start_step": 1,
    "end_step": 4,
    "searches": 2,
    "reversal_steps": 2,
    "refresh_epochs": 1,
    "views": 2,
    "mining_epoch": 0,
    "refinement_width": 8,
    "classifier_width": 8,
    "warmup_steps": 2,
}
_TRAINER = {"max_epochs": 2, "check_val_every_n_epoch": 2, "accelerator": "cpu", "log_every_n_steps": 2}


def find_configs(package: str) -> list[Path]:
    """Return all configs of a package that define a complete training run."""
    found = sorted((CONFIGS / package).rglob("*.yaml"))
    return [path for path in found if {"model", "data"} <= _load(path).keys() and _sets(_load(path)["data"])]


@cache
def _load(path: Path) -> dict[str, Any]:
    """Return the content of a config, which must not be changed."""
    return load_config(path)


def _sets(data: dict[str, Any]) -> bool:
    return bool(data.get("source") or data.get("train"))


#: Options, besides the classes, that affect what processes do together.
_DECIDING = ("auxiliary_loss", "inner", "kicks", "kind", "mass", "metric", "precision", "scope", "skeleton")


def find_families(package: str) -> dict[str, Path]:
    """Return one config per family by name; configs of a family differ only in numbers, styles and data sets."""
    found: dict[str, Path] = {}
    for path in find_configs(package):
        content = _load(path)
        data = content["data"]
        sets = [min(2, len(data.get(name) or ())) for name in ("target", "train")]
        looks = [isinstance(data.get("source_views"), list), data.get("teacher_views") == "same"]
        kind = [_deciding(content["model"]), _deciding(content["trainer"]), sets, looks]
        found.setdefault(json.dumps(kind, sort_keys=True), path)
    return {str(path.relative_to(CONFIGS).with_suffix("")): path for path in found.values()}


def _deciding(spec: Any) -> Any:
    """Return the classes of a config and the options that affect processes, at any depth."""
    if isinstance(spec, list):
        return [found for value in spec if (found := _deciding(value))]
    if not isinstance(spec, dict):
        return None
    own = {key: value for key, value in spec.items() if key in _DECIDING and isinstance(value, str | bool)}
    if "class_path" in spec:
        alike = spec["class_path"].startswith("torch.optim.")
        own["class_path"] = "torch.optim" if alike else spec["class_path"]
    below = {key: _deciding(value) for key, value in spec.items() if isinstance(value, dict | list)}
    return own | {key: value for key, value in below.items() if value}


def shrink_config(path: Path, data: Path, out: Path) -> dict[str, Any]:
    """Return a shipped config reduced to two epochs of three steps.

    Args:
        path: path of the config.
        data: folder with data sets of dots: ``body16`` and ``hand21``, each with ``light`` and ``dark``.
        out: run folder.
    """
    content = deepcopy(_load(path))
    model = _early(content["model"])
    options = model["init_args"]
    (_poses if "source" in content["data"] else _meshes)(content["data"], options, data)
    options.setdefault("training", {}).pop("init_from", None)
    trainer = {**content["trainer"], **_TRAINER}
    trainer["logger"]["init_args"] |= {"save_dir": str(out.parent), "name": "", "version": out.name}
    return {**content, "model": model, "trainer": trainer}


def _early(spec: Any) -> Any:
    if isinstance(spec, dict):
        return {key: _EARLY[key] if key in _EARLY else _early(value) for key, value in spec.items()}
    return [_early(value) for value in spec] if isinstance(spec, list) else spec


def _poses(data: dict[str, Any], options: dict[str, Any], root: Path) -> None:
    network = options["network"]
    network |= {"backbone": "test_resnet", "weights": "none", "deconv_channels": [8, 8, 8]}
    skeleton = network["skeleton"]

    def dataset(style: str, **options: int) -> dict[str, Any]:
        arguments = {"root": str(root / skeleton / style), "box": "image", "skeleton": skeleton, **options}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": arguments}

    target = {"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": dataset("dark")}}
    data |= {
        "source": dataset("light"),
        "target": [target for _ in data.get("target", [])],
        "validation": dataset("light", count=7),  # odd: two processes have different numbers
        "test": {name: dataset("dark", count=5) for name in data.get("test", {})},
        "predict": dataset("dark", count=5),
        "image_size": 32,
        "batch_size": 8,  # two of each domain in each process: BatchNorm wants more than one
        "evaluation_batch_size": 3,
        "steps_per_epoch": 3,
        "num_workers": 0,
    }
    if "style" in options:
        options["style"] = None  # its encoder is VGG-19


def _meshes(data: dict[str, Any], options: dict[str, Any], root: Path) -> None:
    for name in ("regressor", "auxiliary"):
        if name in options:
            start = {"weights": "none", "published": None}
            backbone = "mlp" if options[name].get("kind") == "lifter" else "test_resnet"
            options[name] |= {"backbone": backbone, **start, "body": "builtin", "width": 16}

    def dataset(count: int, seed: int) -> dict[str, Any]:
        return {"class_path": "tests.helpers.mesh_images.DotMeshes", "init_args": {"count": count, "seed": seed}}

    data |= {
        "train": [dataset(12, number) for number, _ in enumerate(data["train"])],
        "validation": dataset(7, 20),
        "test": {name: dataset(5, 21) for name in data.get("test") or ("dots",)},
        "predict": dataset(5, 22),
        "height": 32,
        "width": 32,
        "batch_size": 4,
        "evaluation_batch_size": 3,
        "num_workers": 0,
    }
    if data.get("steps_per_epoch") is not None:
        data["steps_per_epoch"] = 3
    test_time = options["test_time"]
    test_time["in_validation"] = True  # as `validate` does, so that scores can be compared
    for phase in test_time["phases"]:
        phase["steps"] = min(phase["steps"], 2)

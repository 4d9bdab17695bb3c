"""Shipped configs cut down to tiny networks and drawn data: their method, callbacks, loggers and options are kept."""

import json
from pathlib import Path
from typing import Any

from hamipose.config.inherit import load_config

CONFIGS = Path(__file__).parents[2] / "configs"

#: Phases of methods, moved into the six steps of a tiny run.
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
_TRAINER = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 2}


def find_configs(package: str) -> list[Path]:
    """Every config of a package that trains something by itself."""
    found = sorted((CONFIGS / package).rglob("*.yaml"))
    return [
        path for path in found if {"model", "data"} <= load_config(path).keys() and _sets(load_config(path)["data"])
    ]


def _sets(data: dict[str, Any]) -> bool:
    return bool(data.get("source") or data.get("train"))


#: Options that decide what processes do together, beside the classes.
_DECIDING = ("auxiliary_loss", "inner", "kicks", "kind", "mass", "metric", "precision", "scope", "skeleton")


def find_families(package: str) -> dict[str, Path]:
    """One config of each family, by its name: those that differ in numbers, looks and data sets alone are one."""
    found: dict[str, Path] = {}
    for path in find_configs(package):
        content = load_config(path)
        data = content["data"]
        sets = [min(2, len(data.get(name) or ())) for name in ("target", "train")]
        looks = [isinstance(data.get("source_views"), list), data.get("teacher_views") == "same"]
        kind = [_deciding(content["model"]), _deciding(content["trainer"]), sets, looks]
        found.setdefault(json.dumps(kind, sort_keys=True), path)
    return {str(path.relative_to(CONFIGS).with_suffix("")): path for path in found.values()}


def _deciding(spec: Any) -> Any:
    """A config's classes and deciding options, at any depth."""
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
    """A shipped config for a run of two epochs of three steps, seconds long.

    Args:
        path: of the config.
        data: folder with drawn people: ``body16`` and ``hand21``, each with ``light`` and ``dark``.
        out: folder of the run.
    """
    content = load_config(path)
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

    def drawn(look: str, **some: int) -> dict[str, Any]:
        where = {"root": str(root / skeleton / look), "box": "image", "skeleton": skeleton, **some}
        return {"class_path": "hamipose.data.CocoKeypoints", "init_args": where}

    target = {"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": drawn("dark")}}
    data |= {
        "source": drawn("light"),
        "target": [target for _ in data.get("target", [])],
        "validation": drawn("light", count=7),  # odd: two processes do not have equally many
        "test": {name: drawn("dark", count=5) for name in data.get("test", {})},
        "predict": drawn("dark", count=5),
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
            options[name] |= {"backbone": "test_resnet", **start, "body": "builtin", "width": 16}

    def drawn(count: int, seed: int) -> dict[str, Any]:
        return {"class_path": "drawn_meshes.DrawnMeshes", "init_args": {"count": count, "seed": seed}}

    data |= {
        "train": [drawn(12, number) for number, _ in enumerate(data["train"])],
        "validation": drawn(7, 20),
        "test": {name: drawn(5, 21) for name in data["test"]},
        "predict": drawn(5, 22),
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

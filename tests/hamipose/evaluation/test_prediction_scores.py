"""All rows of a table share what belongs to the protocol: their composed configs are compared, at both scales."""

import copy
import functools
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from hamipose.config.config_file import _merge, resolve_inheritance
from hamipose.data import DomainAdaptation
from hamipose.engine.runs import Run
from hamipose.experiments.rows import plan
from hamipose.experiments.runs import BUDGET, Scale, compose, write_data
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions

NAMES = ("1", "2", "3", "4", "5", "figure4", "figure5")
#: What a method may not choose. (Its own: optimizer, views of training, reduction, epochs at the paper's scale.)
PROTOCOL = {
    "network": ("skeleton", "backbone", "weights", "deconv_channels"),
    "training": ("sigma", "quantize", "paper_scores"),
    "data": ("source", "target", "validation", "test", "image_size", "batch_size", "evaluation_batch_size"),
    "trainer": ("precision",),
}


@functools.cache
def files(path: str) -> list[dict[str, Any]]:
    """A config's content and that of all it inherits from, oldest first."""
    return [yaml.safe_load(file.read_text()) for file in resolve_inheritance(Path(path))]


def composed(run: Run) -> dict[str, Any]:
    """A run's configs and options, laid over each other in their order."""
    content: dict[str, Any] = {}
    words = iter(run.arguments[1:])
    for option in words:
        value = next(words)
        if option == "--config":
            for above in copy.deepcopy(files(value)):
                content = _merge(content, above)
            continue
        *keys, last = option.removeprefix("--").split(".")
        inner = content
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = yaml.safe_load(value) if not value.startswith("{") else json.loads(value)
    return content


def default(kind: type, name: str) -> Any:
    found = next(f for f in fields(kind) if f.name == name)
    return found.default if found.default is not MISSING else found.default_factory()  # type: ignore[misc]


def protocol(run: Run) -> dict[str, Any]:
    """The options of the protocol as they take effect."""
    content = composed(run)
    arguments = content["model"]["init_args"]
    found: dict[str, Any] = {}
    for group, names in PROTOCOL.items():
        given = arguments.get(group, {}) if group in ("network", "training") else content[group]
        for name in names:
            if name in given:
                found[f"{group}.{name}"] = given[name]
            elif group == "network":
                found[f"{group}.{name}"] = default(NetworkOptions, name)
            elif group == "training":
                found[f"{group}.{name}"] = default(TrainingOptions, name)
            elif group == "data":
                defaults = DomainAdaptation.__init__.__defaults__
                assert defaults
                found[f"{group}.{name}"] = f"default of {name}"
            else:
                found[f"{group}.{name}"] = "32-true"
    adaptation = arguments.get("adaptation", {})
    found["adaptation.batchnorm"] = adaptation.get("batchnorm", default(AdaptationOptions, "batchnorm"))
    return found


def everything(tmp_path: Path, name: str, scale: Scale) -> list:
    """All cells, as if all data were at hand."""
    root, found = tmp_path / "data", plan(name)
    for transfer in found.small if scale == "small" else found.paper:
        for folder in transfer.missing(root):
            path = root / folder.removeprefix("data/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir()
        write_data(transfer, tmp_path / scale, root)
    return compose(found, scale, seeds=[0], budget=BUDGET, runs=tmp_path, root=root)


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_all_rows_share_what_belongs_to_the_protocol(name: str, scale: Scale, tmp_path: Path):
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in everything(tmp_path, name, scale):
        if cell.runs:
            rows.setdefault(cell.transfer.title, {})[cell.row.label] = protocol(cell.runs[0])
    assert rows
    for transfer, found in rows.items():
        first = next(iter(found.values()))
        for label, options in found.items():
            differing = {k: (options[k], first[k]) for k in first if options[k] != first[k]}
            assert not differing, f"{transfer}, {label}: {differing}"
        if scale == "paper":
            assert (first["training.quantize"], first["training.sigma"], first["data.batch_size"]) == (True, 2.0, 32)
            assert (first["network.backbone"], first["network.deconv_channels"]) == ("resnet101", [256] * 3)


@pytest.mark.parametrize("name", ["1", "2", "3", "4"])
def test_tables_have_the_row_of_target_statistics_and_train_nothing_for_it(name: str, tmp_path: Path):
    cells = everything(tmp_path, name, "small")
    runs = {cell.row.label: cell.runs[0] for cell in cells if cell.runs}
    assert runs["Source only, target statistics"] == runs["Source only"]
    row = next(cell.row for cell in cells if cell.row.label == "Source only, target statistics")
    assert row.network == "target-statistics"

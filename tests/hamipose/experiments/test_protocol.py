"""All rows of a table share the options of the protocol, at both scales."""

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
from hamipose.engine.experiments import ExperimentOptions, Scale
from hamipose.engine.runs import Run
from hamipose.experiments.rows import table_spec
from hamipose.experiments.runs import BUDGET, compose, write_data
from hamipose.io.yaml_file import read_yaml
from hamipose.methods.options import AdaptationOptions, NetworkOptions, TrainingOptions

NAMES = ("1", "2", "3", "4", "5", "figure4", "figure5")
#: Options that no method may change. (It may change optimizer, views, reduction, epochs at the paper's scale.)
PROTOCOL = {
    "network": ("skeleton", "backbone", "weights", "deconv_channels"),
    "training": ("sigma", "quantize", "paper_scores"),
    "data": ("source", "target", "validation", "test", "image_size", "batch_size", "evaluation_batch_size"),
    "trainer": ("precision",),
}


@functools.cache
def files(path: str) -> list[dict[str, Any]]:
    """Return the contents of a config and of those it inherits from, base first."""
    return [read_yaml(file, "config", "options") for file in resolve_inheritance(Path(path))]


def composed(run: Run) -> dict[str, Any]:
    """Return the merged configs and options of a run."""
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
    """Return the effective options of the protocol."""
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


def compose_all(tmp_path: Path, name: str, scale: Scale) -> list:
    """Return all cells of a table, with empty files in place of the data sets."""
    root, spec = tmp_path / "data", table_spec(name)
    options = ExperimentOptions(scale, [0], BUDGET, tmp_path, root)
    for transfer in spec.small if scale == "small" else spec.paper:
        for folder in transfer.missing(root):
            path = root / folder.removeprefix("data/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir()
        write_data(transfer, options)
    return compose(spec, options)


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_share_the_options_of_the_protocol(name: str, scale: Scale, tmp_path: Path):
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in compose_all(tmp_path, name, scale):
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
def test_target_statistics_row_shares_the_run_of_source_only(name: str, tmp_path: Path):
    cells = compose_all(tmp_path, name, "small")
    runs = {cell.row.label: cell.runs[0] for cell in cells if cell.runs}
    assert runs["Source only, target statistics"] == runs["Source only"]
    row = next(cell.row for cell in cells if cell.row.label == "Source only, target statistics")
    assert row.network == "target-statistics"

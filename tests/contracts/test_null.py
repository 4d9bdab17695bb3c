"""Every optional value can be set back to null, from the command line and from a config."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ActionConfigFile
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

import hamipose.data
import hamipose.gating
import hamipose.methods
import meshtto.data
import meshtto.methods
from hamipose.command_line.parser import Parser
from hamipose.data import DomainAdaptation
from hamipose.data.base import KeypointDataset
from hamipose.methods.base import PoseMethod
from hamipose.optim import Hamiltonian
from meshtto.data import MeshData
from meshtto.data.base import MeshDataset
from meshtto.methods.base import MeshMethod

#: A value of each type.
VALUES = {
    str: "some",
    int: "3",
    float: "0.5",
    bool: "true",
    list[str]: '["some"]',
    list[int]: "[3]",
    list[float]: "[0.5]",
    dict[str, float]: "{some: 0.5}",
}


def parts(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union."""
    return (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )


def nullable(kind: type, before: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield the name and another value, if known, of each optional argument of a class and of its option classes."""
    hints = typing.get_type_hints(kind.__init__)
    for name in inspect.signature(kind).parameters:
        own = parts(hints.get(name, Any))
        if type(None) in own:
            yield before + name, next((VALUES[part] for part in own if part in VALUES), None)
        for part in own:
            if dataclasses.is_dataclass(part):
                yield from nullable(part, f"{before}{name}.")


def classes(module: Any, kind: type) -> list[type]:
    """Return the concrete subclasses among the short names of a package."""
    found = [c for name in module._MODULES if isinstance(c := getattr(module, name), type) and c is not kind]
    return [c for c in found if issubclass(c, kind) and not inspect.isabstract(c)]


def path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def cases() -> Iterator[Any]:
    """Yield package, first arguments, prefix and class."""
    for package, base, module in (
        ("hamipose", PoseMethod, hamipose.methods),
        ("meshtto", MeshMethod, meshtto.methods),
    ):
        kinds = classes(module, base)
        for kind in kinds:
            yield pytest.param(package, [f"--model={path_of(kind)}"], "model.init_args.", kind, id=kind.__name__)
        first = [f"--model={path_of(kinds[0])}", "--model.init_args.optimizer"]
        for kind in (torch.optim.AdamW, Hamiltonian):
            words = [*first, path_of(kind)]
            yield pytest.param(
                package, words, "model.init_args.optimizer.init_args.", kind, id=f"{package}-{kind.__name__}"
            )
    for package, data, base, module, option in (
        ("hamipose", DomainAdaptation, KeypointDataset, hamipose.data, "source"),
        ("meshtto", MeshData, MeshDataset, meshtto.data, "validation"),
    ):
        yield pytest.param(package, [], "data.", data, id=data.__name__)
        for kind in classes(module, base):
            words, prefix = [f"--data.{option}={path_of(kind)}"], f"data.{option}.init_args."
            yield pytest.param(package, words, prefix, kind, id=kind.__name__)
    words = [f"--trainer.logger={path_of(CSVLogger)}"]
    yield pytest.param("hamipose", words, "trainer.logger.init_args.", CSVLogger, id="CSVLogger")


@cache
def build_parser(package: str) -> Parser:
    """Build the parser of a package's `fit`."""
    method, data = (PoseMethod, DomainAdaptation) if package == "hamipose" else (MeshMethod, MeshData)
    parser = Parser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(method, "model", subclass_mode=True, required=False)
    parser.add_lightning_class_args(data, "data")
    return parser


@pytest.mark.parametrize(("package", "first", "before", "kind"), list(cases()))
def test_optional_values_can_be_reset_to_null(package: str, first: list[str], before: str, kind: type, tmp_path: Path):
    found = {before + name: some for name, some in nullable(kind)}
    # Options inside an option that can be null itself are tested separately.
    inner = {name: some for name, some in found.items() if any(name.startswith(f"{other}.") for other in found)}
    outer = {name: some for name, some in found.items() if name not in inner}
    for options in filter(None, (outer, inner)):
        check(build_parser(package), first, options, tmp_path / "null.yaml")


def check(parser: Parser, first: list[str], options: dict[str, str | None], path: Path) -> None:
    values = {name: some for name, some in options.items() if some is not None}
    arguments = [*first, *(f"--{name}={some}" for name, some in values.items())]
    separate = [word for name in options for word in (f"--{name}", "null")]
    joined = [f"--{name}=null" for name in options]
    config: dict[str, Any] = {}
    for name in options:
        *groups, leaf = name.split(".")
        inner = config
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[leaf] = None
    path.write_text(yaml.safe_dump(config))
    for back in (separate, joined, ["--config", str(path)]):
        read = parser.parse_args([*arguments, *back], defaults=False, _skip_validation=True)
        for name in options:
            assert read.get(name) is None, f"{name} after {back[:2]}"
    kept = parser.parse_args(arguments, defaults=False, _skip_validation=True)
    for name in values:
        assert kept.get(name) is not None, f"{name}: the option does not accept other values"


def test_known_optional_values_are_covered():
    found = {name for package in (hamipose.methods.SourceOnly, meshtto.methods.Dual) for name, _ in nullable(package)}
    assert {
        "training.init_from",
        "training.lr_factors",
        "training.clip_norm",
        "auxiliary",
        "regressor.published",
    } <= found

"""The tables and figures: transfers, rows, and the recipe of every row at both scales."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hamipose.engine.experiments import Recipe
from hamipose.experiments import transfers as t
from hamipose.experiments.paper_results import GAMMA_MAX, TABLE5
from hamipose.experiments.transfers import Transfer

__all__ = ["Row", "TableSpec", "class_option", "sensitivity_label", "table_spec"]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        label: name of the method, as in the paper if it is there.
        small: its recipe at the small scale; default: None, it cannot be run. ``{quarter}`` in an option stands for a
            quarter of the steps.
        paper: its recipe at the paper's scale; default: None, it cannot be run.
        note: why it cannot be run, or another remark for the reader.
        network: name of the evaluated network that it shows; default: the delivered network.
    """

    label: str
    small: Recipe | None = None
    paper: Recipe | None = None
    note: str = ""
    network: str = ""


@dataclass(frozen=True)
class TableSpec:
    """A table or figure of the paper.

    Attributes:
        name: name in file names, such as "table1".
        title: its title.
        small: its transfers at the small scale.
        paper: its transfers at the paper's scale.
        rows: its rows.
        number: number of the table in the paper, whose results are listed at the paper's scale; default: None.
        curves: for a figure: panel title → logged column.
    """

    name: str
    title: str
    small: tuple[Transfer, ...]
    paper: tuple[Transfer, ...]
    rows: tuple[Row, ...]
    number: int | None = None
    curves: Mapping[str, str] = field(default_factory=dict, hash=False)


def class_option(path: str, **arguments: Any) -> str:
    """Return a class and its arguments as a command line value."""
    return json.dumps({"class_path": path, "init_args": arguments})


_OPTIMIZER = "model.init_args.optimizer"
_GATE = "model.init_args.gate"
_ADAMW = {_OPTIMIZER: class_option("torch.optim.AdamW", lr=1e-3)}
_SGD = {_OPTIMIZER: class_option("torch.optim.SGD", lr=0.3, momentum=0.9)}
_PRINTED = {
    _OPTIMIZER: class_option(
        "hamipose.optim.Hamiltonian",
        lr=1e-3,
        friction=0.0,
        mass="group",
        initial_mass=1.0,
        mass_decay=0.99,
        eps=1e-8,
        kinetic="newtonian",
        kicks="printed",
    )
}
_CLOSED = {_GATE: class_option("hamipose.gating.KeypointGate", gamma_min=0.0, gamma_max=0.0)}
_UNIFIED = {_GATE: class_option("hamipose.gating.UnifiedGate")}
_OPEN = {_GATE: class_option("hamipose.gating.OpenGate")}
_DIAGONAL = {"model.init_args.metric": "diagonal"}

_PAPER = "surreal_to_lsp.yaml"  # any transfer: its data sets are replaced
_NO_CODE = "no public code; `evaluate` scores its predictions, `experiments --row` shows them"


def _variant(label: str, name: str, options: Mapping[str, str], note: str = "") -> Row:
    """Return a row for HamiPose with other options, the same at both scales."""
    return Row(label, Recipe(name, "demo.yaml", options), Recipe(name, _PAPER, options), note)


_SOURCE_ONLY = Row(
    "Source only",
    Recipe("source_only", "demo_source_only.yaml"),
    Recipe("source_only", "ablation/source_only.yaml"),
)
_TARGET_STATISTICS = Row(
    "Source only, target statistics",
    _SOURCE_ONLY.small,
    _SOURCE_ONLY.paper,
    "not in the paper: the same network with BatchNorm statistics of unlabeled target images, no weight adapted",
    "target-statistics",
)
_MEAN_TEACHER = Row(
    "Mean teacher",
    Recipe("mean_teacher", "demo_mean_teacher.yaml"),
    Recipe("mean_teacher", "ablation/mean_teacher.yaml"),
)
_HAMIPOSE = _variant("HamiPose", "hamipose", {})
_GATE_ADAMW = _variant("+ metric, gate", "gate_adamw", _ADAMW, "the paper does not state the optimizer: AdamW here")


def _method(label: str, name: str, note: str = "", small: Mapping[str, str] | None = None) -> Row:
    """Return a row for a method with a config at each scale; `small` overrides the small one for its shorter budget."""
    return Row(label, Recipe(name, f"small/{name}.yaml", small or {}), Recipe(name, f"methods/{name}.yaml"), note)


#: The small configs are made for four epochs; these options count steps.
_MDAM = {"model.init_args.adaptation.pretrain_steps": "{quarter}"}
_REGDA = {"model.init_args.pretrain_steps": "{quarter}", "model.init_args.reversal_steps": "{quarter}"}
_METHODS = (
    _SOURCE_ONLY,
    _TARGET_STATISTICS,
    _MEAN_TEACHER,
    _method("CC-SSL", "ccssl"),
    _method("MDAM", "mdam", small=_MDAM),
    _method("RegDA", "regda", small=_REGDA),
    _method("UniFrame", "uniframe", "small scale: without style transfer"),
    _method("SFHPE", "sfhpe", "source-free: no source image after the start"),
    Row("DA-LLPose", note=_NO_CODE),
    _method("CGDM", "cgdm", "adapted from classification"),
    Row("GGF", note=_NO_CODE),
    _method("PGDA", "pgda", "adapted from prompts of a classifier; four backward passes per step"),
    _HAMIPOSE,
)
_FISHR = {"model.init_args.penalty_start": "{quarter}"}
_GENERAL = (
    _SOURCE_ONLY,
    _TARGET_STATISTICS,
    _method("CC-SSL", "ccssl"),
    _method("RegDA", "regda", small=_REGDA),
    _method("UniFrame", "uniframe", "small scale: without style transfer"),
    _method("Fishr", "fishr", "source alone, two styles as domains; penalty after a quarter of the steps", _FISHR),
    _method("SAM", "sam", "source alone"),
    _method("SAGM", "sagm", "source alone"),
    _method("GGA", "gga", "source alone, two styles as domains; small scale: 40 searches in total"),
    _HAMIPOSE,
)
_ABLATION = (
    _MEAN_TEACHER,
    _variant("+ metric", "closed_gate_adamw", {**_ADAMW, **_CLOSED}, "the gate stays closed; AdamW"),
    _GATE_ADAMW,
    _variant("+ metric, gate, Hamiltonian", "hamipose", {}),
    _variant("no gate, Hamiltonian", "open_gate", _OPEN, "not in the paper"),
    _variant("one gate for all keypoints", "unified_gate", _UNIFIED, "in Fig. 4 of the paper, not in its table"),
    _variant("diagonal metric", "diagonal_metric", _DIAGONAL, "not in the paper: a metric that does not cancel"),
    _variant("the optimizer as printed", "printed_optimizer", _PRINTED, "eq. 20 exactly as printed, without friction"),
    _SOURCE_ONLY,
    _TARGET_STATISTICS,
)


def _sensitivity() -> tuple[Row, ...]:
    rows = []
    for gamma_min, warmup in TABLE5:
        for gamma_max in GAMMA_MAX:
            if (gamma_min, gamma_max, warmup) == (0.0, 2.0, 0.1):
                rows.append(_variant(sensitivity_label(gamma_min, warmup, gamma_max), "hamipose", {}))
                continue
            gate = class_option("hamipose.gating.KeypointGate", gamma_min=gamma_min, gamma_max=gamma_max)
            options = {_GATE: gate, "model.init_args.adaptation.gate_warmup": str(warmup)}
            name = f"gamma_{gamma_min:g}_{gamma_max:g}_{warmup:g}"
            rows.append(_variant(sensitivity_label(gamma_min, warmup, gamma_max), name, options))
    return tuple(rows)


def sensitivity_label(gamma_min: float, warmup: float, gamma_max: float) -> str:
    """Return the label of a cell of Table 5."""
    return f"γ {gamma_min:g} → {gamma_max:g} in {100 * warmup:g} %"


_PEOPLE = (t.PHOTO_PEOPLE, t.LSP_PEOPLE)
_HANDS = (t.HANDS, t.HAND_PHOTOS)

#: table or figure on the command line → its specification
_SPECS = {
    "1": TableSpec("table1", "Adaptation, body", _PEOPLE, (t.SURREAL_LSP, t.SURREAL_H36M), _METHODS, 1),
    "2": TableSpec(
        "table2",
        "Generalization to a domain unseen in training",
        (t.OTHER_PEOPLE, t.LSPET_PEOPLE, t.UNSEEN_HAND),
        (t.LSP_TO_H36M, t.H3D_TO_FREIHAND),
        _GENERAL,
        2,
    ),
    "3": TableSpec("table3", "Adaptation, hand", _HANDS, (t.RHD_H3D, t.RHD_FREIHAND), _METHODS, 3),
    "4": TableSpec("table4", "Ablation", (*_PEOPLE, t.HANDS), (t.SURREAL_H36M, t.RHD_H3D), _ABLATION, 4),
    "5": TableSpec("table5", "Sensitivity to the gate's γ", (t.PHOTO_PEOPLE,), (t.RHD_H3D,), _sensitivity(), 5),
    "figure4": TableSpec(
        "figure4",
        "Conflict ratio, one gate per keypoint against a single gate",
        (t.PHOTO_PEOPLE,),
        (t.SURREAL_H36M,),
        (
            _variant("a gate for each keypoint", "hamipose", {}),
            _variant("one gate for all keypoints", "unified_gate", _UNIFIED),
        ),
        curves={"conflict ratio": "train/conflict"},
    ),
    "figure5": TableSpec(
        "figure5",
        "Losses with three optimizers",
        (t.PHOTO_PEOPLE,),
        (t.SURREAL_H36M,),
        (
            _variant("SGD", "gate_sgd", _SGD, "momentum 0.9, step size 0.3: chosen by loss on source data"),
            _variant("AdamW", "gate_adamw", _ADAMW),
            _variant("Hamiltonian", "hamipose", {}),
        ),
        curves={"source loss": "train/source_loss", "target loss": "train/target_loss"},
    ),
}


def table_spec(name: str) -> TableSpec:
    """Return a table or figure by its name: 1 to 5, figure4, figure5.

    Raises:
        KeyError: the name is unknown.
    """
    return _SPECS[name]

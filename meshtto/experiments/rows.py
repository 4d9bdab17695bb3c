"""The rows of the table: how each is trained, how it is adapted at test time, and on what it is tested."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.engine.experiments import Recipe, Scale

__all__ = ["PAPER", "SMALL", "START", "Row", "table_rows"]

#: For the small scale; the paper's 1e-5, and EFT's 5e-6, suit networks that are almost converged. The inner step in
#: training uses the same values (builtin_small.yaml). Chosen by the 2D loss on validation people.
_SGD = {"lr": 1e-3, "clip_norm": 1.0}
_ADAM = {"lr": 1e-4}


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        label: training and adaptation.
        name: folder of its test.
        training: the training whose weights are tested.
        phases: phases of adaptation at test time, as in a config.
        evidence: source of the 2D joints at test time: "detector" or "truth".
        few_people: test on a small set, one person at a time, because each has their own network.
        batch_size: people per batch at test time, on which weights that a batch shares depend; default: the config's.
        other_options: other test-time options.
        note: a remark for the reader.
    """

    label: str
    name: str
    training: Recipe
    phases: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    evidence: str = "detector"
    few_people: bool = False
    batch_size: int | None = None
    other_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    note: str = ""

    @property
    def options(self) -> dict[str, str]:
        """Return the options of the verb `test`."""
        test_time = {"phases": list(self.phases), "ignored_joints": [], **self.other_options}
        return {f"model.init_args.test_time.{key}": json.dumps(value) for key, value in test_time.items()}


def _phase(rule: str, arguments: Mapping[str, float], steps: int = 14, **options: Any) -> dict[str, Any]:
    return {
        "steps": steps,
        "rule": {"class_path": f"meshtto.test_time.{rule}", "init_args": dict(arguments)},
        **options,
    }


_ALONE = {"pseudo_mesh": False}
_REGRESSION = Recipe("regression", "builtin_small_regression.yaml")
_META = Recipe("meta", "builtin_small_meta.yaml")
_DUAL = Recipe("dual", "builtin_small.yaml")
_BY_ADAM = {
    "model.init_args.inner.rule": json.dumps({"class_path": "meshtto.test_time.Adam", "init_args": _ADAM}),
}
_META_BY_ADAM = Recipe("meta_by_adam", "builtin_small_meta.yaml", _BY_ADAM)
_DUAL_BY_ADAM = Recipe("dual_by_adam", "builtin_small.yaml", _BY_ADAM)
#: The training from which all others of a seed continue at the small scale.
START = Recipe("start", "builtin_small_regression.yaml")

SMALL = (
    Row("Regression, 2D alone", "regression", _REGRESSION, (_phase("SGD", _SGD, **_ALONE),)),
    Row("Meta, 2D alone", "meta", _META, (_phase("SGD", _SGD, **_ALONE),)),
    Row("Dual, 2D and pseudo-mesh", "dual", _DUAL, (_phase("SGD", _SGD),)),
    Row("EFT: Regression, head, Adam", "eft_head", _REGRESSION, (_phase("Adam", _ADAM, **_ALONE),)),
    Row(
        "EFT: Regression, all weights, Adam",
        "eft_all",
        _REGRESSION,
        (_phase("Adam", _ADAM, scope="all", **_ALONE),),
        few_people=True,
    ),
    Row("Regression, true 2D", "regression_truth", _REGRESSION, (_phase("SGD", _SGD, **_ALONE),), evidence="truth"),
    Row("Dual, 2D alone", "dual_alone", _DUAL, (_phase("SGD", _SGD, **_ALONE),)),
    Row("Dual, Adam", "dual_adam", _DUAL, (_phase("Adam", _ADAM),)),
    Row("Meta, Adam in training too", "meta_by_adam", _META_BY_ADAM, (_phase("Adam", _ADAM, **_ALONE),)),
    Row("Dual, Adam in training too", "dual_by_adam", _DUAL_BY_ADAM, (_phase("Adam", _ADAM),)),
)

#: EFT's options, the defaults of `meshtto.methods.EFT`; its training config has no tolerance.
_EFT = {
    "enough_2d": 2e-4,
    "ignored_joints": ["right_ankle", "right_hip", "left_hip", "left_ankle", "pelvis"],
}
_EFT_LOSS = {"shape_prior": 0.001, "lower_legs": 0.005}
_R50 = Recipe("cliff_resnet50", "cliff_resnet50.yaml")
_R50_REGRESSION = Recipe("cliff_resnet50_regression", "cliff_resnet50_regression.yaml")
_R50_META = Recipe("cliff_resnet50_meta", "cliff_resnet50_meta.yaml")
_PAPER_PHASE = _phase("SGD", {"lr": 1e-5})
_TEXT = "the paper's text: 14 gradient steps (SGD, 1e-5) of the head on 2D evidence and pseudo-mesh, per person"
_RELEASED = Recipe("released_code", "released_code.yaml")
_RELEASED_CONFIG = load_config(configs_folder("meshtto") / _RELEASED.config)
_RELEASED_TEST = {**_RELEASED_CONFIG["model"]["init_args"]["test_time"]}
_RELEASED_PHASES = tuple(_RELEASED_TEST.pop("phases"))
_RELEASED_NOTE = (
    "the released code's test: one SGD step of the head on 2D evidence and pseudo-mesh, then up to 14 Adam steps "
    "(1e-5) of all weights on 2D evidence only, shared by a batch"
)
_RELEASED_BATCH = _RELEASED_CONFIG["data"]["evaluation_batch_size"]
PAPER = (
    Row("CLIFF, ResNet-50", "cliff_resnet50_plain", _R50_REGRESSION),
    Row(
        "EFT on CLIFF, ResNet-50",
        "cliff_resnet50_eft",
        _R50_REGRESSION,
        (_phase("Adam", {"lr": 5e-6}, 20, scope="all", loss=_EFT_LOSS, **_ALONE),),
        other_options=_EFT,
        note="at most 20 steps, of each person until the 2D error is small enough",
    ),
    Row("Meta, CLIFF, ResNet-50", "cliff_resnet50_meta", _R50_META, (_phase("SGD", {"lr": 1e-5}, **_ALONE),)),
    Row("Dual, CLIFF, ResNet-50", "cliff_resnet50_dual", _R50, (_PAPER_PHASE,), note=_TEXT),
    Row(
        "Dual, CLIFF, ResNet-50, released test",
        "cliff_resnet50_dual_released_test",
        _R50,
        _RELEASED_PHASES,
        batch_size=_RELEASED_BATCH,
        other_options=_RELEASED_TEST,
        note=_RELEASED_NOTE,
    ),
    Row(
        "Dual, CLIFF, ResNet-50, released training, test as in the text",
        "released_code_text_test",
        _RELEASED,
        (_PAPER_PHASE,),
        note="trained with released_code.yaml, whose first lines say how it differs; " + _TEXT,
    ),
    Row(
        "Dual, CLIFF, ResNet-50, released training and test",
        "released_code",
        _RELEASED,
        _RELEASED_PHASES,
        batch_size=_RELEASED_BATCH,
        other_options=_RELEASED_TEST,
        note="trained with released_code.yaml; " + _RELEASED_NOTE,
    ),
    Row("Dual, HMR, ResNet-50", "hmr_resnet50_dual", Recipe("hmr_resnet50", "hmr_resnet50.yaml"), (_PAPER_PHASE,)),
    Row("Dual, CLIFF, HRNet-W48", "cliff_hrnet48_dual", Recipe("cliff_hrnet48", "cliff_hrnet48.yaml"), (_PAPER_PHASE,)),
)


def table_rows(scale: Scale) -> tuple[Row, ...]:
    """Return the rows that can be trained at a scale."""
    return SMALL if scale == "small" else PAPER

"""Options that all methods share, in groups. They use plain types, because the command line reads them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hamipose.errors import UserError
from meshtto import test_time
from meshtto.test_time import Phase

__all__ = [
    "AuxiliaryOptions",
    "RegressorOptions",
    "TestTimeOptions",
    "TrainingOptions",
    "dict_of_test_time",
    "network_to_dict",
    "phase_to_dict",
    "test_time_from_dict",
]


@dataclass(frozen=True)
class RegressorOptions:
    """Options of the network.

    Attributes:
        kind: "cliff" (also reads where the crop lies in the image), "hmr", or "lifter" (reads 2D keypoints).
        backbone: any timm model name; "mlp" for a lifter.
        weights: initial weights of the backbone: "none", "pretrained" (timm's) or a file with its state dict; other
            parts of the file, such as a pose network's head, are ignored.
        published: checkpoint of SPIN's HMR or of CLIFF to start from, including the head; cannot be combined with
            `weights` or ``training.init_from``.
        iterations: feedback iterations of the head.
        dropout: dropout probability of the head.
        width: units of the head's two layers.
        body: "builtin", or a SMPL file converted by `python -m meshtto body import`.
    """

    kind: Literal["cliff", "hmr", "lifter"] = "cliff"
    backbone: str = "resnet50"
    weights: str = "none"
    published: str | None = None
    iterations: int = 3
    dropout: float = 0.5
    width: int = 1024
    body: str = "builtin"


@dataclass(frozen=True)
class AuxiliaryOptions:
    """Options of the auxiliary network; null values are taken from the regressor.

    It starts from one of `weights`, `published` and `init_from`. If none of them is given, `weights` and `published`
    are those of the regressor, and ``training.init_from`` fills it if its checkpoint contains an auxiliary network.

    Attributes:
        kind: must be the regressor's.
        backbone: any timm model name.
        weights: initial weights of the backbone: "none", "pretrained" (timm's) or a file with its state dict.
        published: checkpoint of SPIN's HMR or of CLIFF to start from, including the head.
        init_from: checkpoint of any method to start a new run from: its auxiliary network if it has one, else its
            regressor. A regressor trained with another seed is an independent network.
        iterations: feedback iterations of the head.
        dropout: dropout probability of the head.
        width: units of the head's two layers.
        body: must be the regressor's.
        own_batches: learn from batches of its own, drawn from the same data sets in another order, so that its errors
            are less like the regressor's. A step then has one more pass of the auxiliary network.
    """

    kind: Literal["cliff", "hmr", "lifter"] | None = None
    backbone: str | None = None
    weights: str | None = None
    published: str | None = None
    init_from: str | None = None
    iterations: int | None = None
    dropout: float | None = None
    width: int | None = None
    body: str | None = None
    own_batches: bool = False

    @property
    def starts(self) -> dict[str, str]:
        """Return the initialization options that are set."""
        found = {name: getattr(self, name) for name in ("weights", "published", "init_from")}
        return {name: value for name, value in found.items() if value is not None}

    def resolve(self, regressor: RegressorOptions) -> RegressorOptions:
        """Return the complete options of the auxiliary network of a regressor.

        Raises:
            UserError: kind or body differ from the regressor's, or there are two initializations.

        >>> AuxiliaryOptions(iterations=3).resolve(RegressorOptions(iterations=10, backbone="resnet18")).backbone
        'resnet18'
        """
        if len(self.starts) > 1:
            both = ", ".join(f"{name} ({value})" for name, value in self.starts.items())
            raise UserError(f"auxiliary starts from {both}; expected one of them")
        for name in ("kind", "body"):
            own, wanted = getattr(self, name), getattr(regressor, name)
            if own not in (None, wanted):
                raise UserError(
                    f"auxiliary.{name} is {own} and regressor.{name} is {wanted}; expected the same, or null, because "
                    "their meshes are compared"
                )
        starts: dict[str, Any] = {"weights": self.weights or "none", "published": self.published}
        if not self.starts:
            starts = {"weights": regressor.weights, "published": regressor.published}
        names = ("kind", "backbone", "iterations", "dropout", "width", "body")
        own = {name: getattr(self, name) for name in names}
        values: dict[str, Any] = {n: getattr(regressor, n) if v is None else v for n, v in own.items()}
        return RegressorOptions(**values, **starts)


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training that all methods share.

    Attributes:
        warmup_steps: steps over which the learning rate rises linearly from almost 0.
        final_lr_ratio: ratio of final to initial learning rate, reached by a cosine; 1 keeps it constant.
        lr_factors: learning rate factors by network (regressor, auxiliary); each network is then a parameter group.
            Default: one group for everything.
        clip_norm: maximum gradient norm; default: no clipping.
        init_from: checkpoint of any method whose regressor initializes a new run's regressor. An auxiliary network is
            initialized with the checkpoint's auxiliary network unless the `auxiliary` options name another start, and
            never with its regressor. (To resume a run, use --ckpt_path.)
    """

    warmup_steps: int = 0
    final_lr_ratio: float = 1.0
    lr_factors: dict[str, float] | None = None
    clip_norm: float | None = None
    init_from: str | None = None


@dataclass(frozen=True)
class TestTimeOptions:
    """Options of test-time adaptation.

    Attributes:
        phases: phases in order, each starting where the previous one ended; none means no adaptation.
        tolerance: an image stops when its loss changes by less than this from one step to the next; null disables it.
        enough_2d: an image stops when its L_2D, in squared half crops, is below this; null disables it.
        stop_after_step: take one more step, on the loss that met `tolerance` or `enough_2d`, before stopping, as the
            released code does.
        ignored_joints: names of joints whose 2D evidence is not used.
        in_validation: also adapt in validation during training, not only in the verb `test`.
        memory_gib: people with their own weights are adapted in groups that need about this much memory in addition to
            the network, measured on the first person; a single person may need more. Null adapts the whole batch.
    """

    __test__ = False  # not a pytest class

    phases: list[Phase] = field(default_factory=lambda: [Phase(steps=14)])
    tolerance: float | None = 2e-5
    enough_2d: float | None = None
    stop_after_step: bool = False
    ignored_joints: list[str] = field(default_factory=list)
    in_validation: bool = False
    memory_gib: float | None = 4.0


def network_to_dict(options: RegressorOptions) -> dict[str, Any]:
    """Return the options that are needed to rebuild a network from a checkpoint, without its initialization."""
    return {name: getattr(options, name) for name in ("kind", "backbone", "iterations", "width", "body")}


def dict_of_test_time(options: TestTimeOptions) -> dict[str, Any]:
    """Return test-time options as plain values for a checkpoint.

    >>> test_time_from_dict(dict_of_test_time(TestTimeOptions())).phases[0].rule.lr
    1e-05
    """
    phases = [phase_to_dict(phase) for phase in options.phases]
    return {**vars(options), "phases": phases, "ignored_joints": list(options.ignored_joints)}


def phase_to_dict(phase: Phase) -> dict[str, Any]:
    """Return a phase as plain values for a checkpoint."""
    rule = {"name": type(phase.rule).__name__, **vars(phase.rule)}
    return {**vars(phase), "rule": rule, "loss": dict(phase.loss)}


def test_time_from_dict(content: dict[str, Any]) -> TestTimeOptions:
    """Invert :func:`dict_of_test_time`."""
    phases = []
    for phase in content["phases"]:
        rule = dict(phase["rule"])
        phases.append(Phase(**{**phase, "rule": getattr(test_time, rule.pop("name"))(**rule)}))
    return TestTimeOptions(**{**content, "phases": phases})
